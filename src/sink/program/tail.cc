// The loop of agent-run-sink: reads records, sends them, moves the cursor.
#include "sink/program/tail.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>

namespace agentrun::sink {

namespace {

constexpr std::size_t window_items = 1024;
constexpr std::size_t window_bytes = 4U << 20;
constexpr std::size_t records_a_turn = 256;
constexpr int look_ms = 100;   // at the journal
constexpr int settle_ms = 10;  // while something is on its way
constexpr std::int64_t first_wait_ms = 100, max_wait_ms = 30'000;
constexpr std::int64_t ms = 1'000'000;
constexpr std::uint64_t max_record_number = 1ULL << 53;

std::uint64_t read_cursor(const Fd& file) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  std::uint64_t value = 0;
  if (n > 0) std::from_chars(text.data(), text.data() + n, value);
  return std::min(value, max_record_number);
}

}  // namespace

Tail::Tail(Fd control, Fd directory, Fd cursor, const Target& target, std::optional<Signer> signer,
           std::unique_ptr<Sender> sender, bool over)
    : control_(std::move(control)),
      cursor_(std::move(cursor)),
      follower_(std::move(directory)),
      encoder_(target, std::move(signer)),
      sender_(std::move(sender)) {
  skip_ = at_ = read_ = read_cursor(cursor_);
  if (over) follower_.set_over();
}

void Tail::run() {
  bool busy = false;
  do {
    const bool more = read();
    if (boot_clock_ns() >= not_before_ && !off_) send();
    settle();
    answer();
    if (closing_ && answered_) return sender_->finish();
    busy = more && sent_ == window_.size();
  } while (wait(busy ? Pace::go_on : Pace::rest));
}

/// Reads up to records_a_turn records. True when there may be more.
bool Tail::read() {
  for (std::size_t turn = 0; turn < records_a_turn; ++turn) {
    if (window_.size() >= window_items || bytes_ >= window_bytes) return false;
    std::uint64_t index = 0;
    std::string_view line;
    const std::size_t before = window_.size();
    const bool got = follower_.next(index, line);
    if (got && index < skip_) {
      if (index == 0) encoder_.learn(line);
      --turn;
      continue;
    }
    if (got)
      encoder_.add(index, line, window_);
    else
      encoder_.flush(window_);
    for (std::size_t i = before; i < window_.size(); ++i) bytes_ += window_[i].bytes.size();
    if (!got) return false;
    read_ = index + 1;
  }
  const std::size_t before = window_.size();
  encoder_.flush(window_);
  for (std::size_t i = before; i < window_.size(); ++i) bytes_ += window_[i].bytes.size();
  return true;
}

void Tail::send() {
  while (sent_ < window_.size()) {
    const Result result = sender_->send(window_[sent_]);
    using Status = Result::Status;
    switch (result.status) {
      case Status::sent:
        ++sent_;
        failures_ = 0;
        reached_ = true;
        reported_down_ = false;
        continue;
      case Status::full:
        return;
      case Status::lost:
        lose(window_[sent_], result);
        continue;
      default:
        return fail(result);
    }
  }
}

void Tail::fail(const Result& result) {
  settle();
  sent_ = 0;
  ++failures_;
  // Reconnect at once after the first failure of a connection that worked.
  const bool at_once = reached_ && failures_ == 1 && result.status == Result::Status::down;
  const std::int64_t usual = std::min(max_wait_ms, first_wait_ms << std::min(failures_ - 1, 10U));
  not_before_ = boot_clock_ns() + (at_once ? 0 : std::max<std::int64_t>(usual, result.wait_ms)) * ms;
  if (at_once) return;
  off_ = result.status == Result::Status::refused;
  if (off_) off_reason_ = result.reason;
  if (!reported_down_) report({.kind = Event::Kind::unreachable, .record = at_, .text = result.reason});
  reported_down_ = true;
  if (target_ && result.status != Result::Status::later)
    report({.kind = Event::Kind::attempt_failed, .record = at_, .text = result.reason});
}

void Tail::lose(const Item& item, const Result& result) {
  report({.kind = Event::Kind::lost,
          .record = item.first,
          .last = item.last,
          .count = result.count,
          .text = result.reason});
  failures_ = 0;
  reached_ = true;
  bytes_ -= item.bytes.size();
  // Items before it may still be on their way: the front of the window decides where the cursor is.
  window_.erase(window_.begin() + static_cast<std::ptrdiff_t>(sent_));
}

void Tail::settle() {
  for (std::size_t arrived = std::min(sender_->take_arrived(), sent_); arrived > 0; --arrived) {
    bytes_ -= window_.front().bytes.size();
    window_.pop_front();
    --sent_;
  }
  move_cursor(window_.empty() ? read_ : window_.front().first);
}

void Tail::move_cursor(std::uint64_t record) {
  if (record <= at_) return;
  at_ = record;
  std::array<char, 24> text{};
  const int size = std::snprintf(text.data(), text.size(), "%020llu\n", static_cast<unsigned long long>(at_));
  // The length never changes, so kill -9 leaves either the old number or the new one.
  (void)!(::lseek(cursor_.get(), 0, SEEK_SET) == 0 &&
          ::write(cursor_.get(), text.data(), static_cast<std::size_t>(size)) == size);
}

void Tail::answer() {
  if (!target_ || answered_ || at_ < *target_) return;
  answered_ = true;
  report({.kind = Event::Kind::arrived, .record = at_, .text = {}});
}

/// False when the supervisor is gone.
bool Tail::wait(Pace pace) {
  std::int64_t timeout = window_.empty() || off_ ? look_ms : settle_ms;
  if (sent_ == 0 && !off_ && not_before_ != 0)
    timeout = std::clamp((not_before_ - boot_clock_ns()) / ms + 1, std::int64_t{settle_ms}, std::int64_t{look_ms});
  if (pace == Pace::go_on) timeout = 0;
  pollfd receiver = sender_->interest();
  std::array<pollfd, 2> fds{pollfd{.fd = control_.get(), .events = POLLIN, .revents = 0}, receiver};
  ::poll(fds.data(), fds.size(), static_cast<int>(timeout));
  if (fds[1].revents != 0 && !sender_->check_receiver()) sent_ = 0;
  return fds[0].revents == 0 || receive();
}

bool Tail::receive() {
  std::array<char, 64> buffer;
  const ssize_t n = retry_eintr([&] { return ::recv(control_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT); });
  if (n < 0) return errno == EAGAIN;
  const auto order = decode_order({buffer.data(), static_cast<std::size_t>(n)});
  if (!order) return false;  // also at end of file
  closing_ = order->first == Order::close;
  if (closing_) follower_.set_over();
  target_ = order->second;
  answered_ = false;
  not_before_ = 0;  // try again at once
  if (off_) report({.kind = Event::Kind::attempt_failed, .record = at_, .text = off_reason_});
  return true;
}

void Tail::report(const Event& event) {
  const std::string message = encode(event);
  (void)::send(control_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace agentrun::sink
