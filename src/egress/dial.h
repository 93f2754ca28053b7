// One connection to the outside: what the name leads to, which of it may be dialed, and the dialing.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "egress/context.h"

namespace agentrun::egress {

/// Of the addresses that a name led to, or of the one that was named, those that may be dialed, with the port of `to`. What is
/// not public, and what is an address of the host itself, is dialed only where a rule names it; what a rule of network.deny or network.ask covers, never.
struct Checked {
  std::vector<policy::Destination> addresses;
  std::string refused;  // the first that was left out, and why: "10.0.0.5 (private)"; empty: none was
  std::string remedy;
};
Checked check_addresses(const policy::Policy& policy, OwnAddresses& own, const std::vector<policy::Destination>& found, const FlowFacts& facts);

class Dial : public Watcher {
 public:
  struct Outcome {
    Fd socket;      // connected, non-blocking; empty: `error` says why
    int error = 0;
    std::string reason, remedy;
    std::optional<policy::Destination> peer;
    std::string via;
    /// As the journal tells it; refers to this.
    [[nodiscard]] Recorder::Opened record() const {
      return {.peer = peer, .via = via, .error = error, .reason = reason, .remedy = remedy};
    }
  };
  using Done = std::function<void(Outcome)>;
  Dial(Context& context, FlowFacts facts, Done done) : context_(context), facts_(std::move(facts)), done_(std::move(done)) {}
  ~Dial() override;
  /// `done` is called once, never from within; it may retire this. After the end of this it is not called.
  void start();

  /// The facts, for who is called back.
  [[nodiscard]] const FlowFacts& facts() const noexcept { return facts_; }

 private:
  void ready(unsigned tag, std::uint32_t events) override;
  void expired() override;
  void looked_up(const Found& found);
  void connect_next();
  [[nodiscard]] int begin_connect(const policy::Destination& to);
  [[nodiscard]] bool is_over() const noexcept;
  bool watch(std::uint32_t events) noexcept;
  void connected();
  void talk(std::uint32_t events);
  bool send_talk();
  void fail(int error, std::string_view reason, const std::string& remedy = {});
  void finish();

  Context& context_;
  FlowFacts facts_;
  Done done_;
  const Proxy* proxy_ = nullptr;
  std::optional<ProxyTalk> talk_;
  std::string unsent_;
  std::uint64_t ticket_ = 0;
  std::vector<policy::Destination> addresses_;
  std::size_t next_ = 0;
  std::int64_t end_ns_ = 0;
  Outcome outcome_;
  bool watched_ = false;  // the loop knows outcome_.socket
  enum class State : std::uint8_t { looking, connecting, talking, finished } state_ = State::looking;
};

}  // namespace agentrun::egress
