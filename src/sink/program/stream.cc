// syslog over TCP and TLS. The protocol has no acknowledgements, so what the peer's kernel has acknowledged counts as
// arrived. The rest is sent again over the next connection.
#include <deque>
#include <optional>

#include <agentrun/sys/error.h>
#include "sink/program/connection.h"
#include "sink/program/sender.h"

namespace agentrun::sink {

namespace {

using Status = Result::Status;
constexpr int finish_ms = 300;

class StreamSender : public Sender {
 public:
  StreamSender(const Target& target, const Contents& contents)
      : target_(target), context_(target.tls() ? tls_context(contents) : nullptr) {}

  Result send(const Item& item) override {
    try {
      if (!connection_) connection_.emplace(target_, context_.get());
    } catch (const Refusal& e) {
      return {.status = Status::down, .reason = e.what()};
    }
    // The peer may have closed the connection while there was nothing to send. It would answer with a reset.
    if (done_ == 0 && !connection_->discard_input()) return gone();
    switch (connection_->write(item.bytes, done_)) {
      case Connection::Wrote::gone:
        return gone();
      case Connection::Wrote::part:
        return {.status = Status::full};
      case Connection::Wrote::all:
        break;
    }
    done_ = 0;
    ends_.push_back(connection_->written());
    return {};
  }

  std::size_t take_arrived() override {
    if (!connection_ || ends_.empty()) return 0;
    const std::uint64_t acknowledged = connection_->acknowledged();
    std::size_t count = 0;
    for (; !ends_.empty() && ends_.front() <= acknowledged; ++count) ends_.pop_front();
    return count;
  }

  [[nodiscard]] pollfd interest() const override { return connection_ ? connection_->interest() : Sender::interest(); }

  bool check_receiver() override {
    if (!connection_ || connection_->discard_input()) return true;
    gone();
    return false;
  }

  void finish() override {
    if (connection_) connection_->finish(finish_ms);
    connection_.reset();
  }

 private:
  Result gone() {
    Result result{.status = Status::down, .reason = connection_->reason()};
    connection_.reset();
    ends_.clear();
    done_ = 0;
    return result;
  }

  const Target& target_;
  TlsContext context_;
  std::optional<Connection> connection_;
  std::size_t done_ = 0;            // bytes of the current item that are written
  std::deque<std::uint64_t> ends_;  // the ends of written items, in bytes of this connection
};

}  // namespace

std::unique_ptr<Sender> stream_sender(const Target& target, const Contents& contents) {
  return std::make_unique<StreamSender>(target, contents);
}

}  // namespace agentrun::sink
