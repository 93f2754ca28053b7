// One relayed connection: bytes both ways, ends and resets as they come, and the look at its first bytes. Nothing else
// of it is kept in this process: bytes are looked at in the kernel's buffer (MSG_PEEK), sent, and taken out as far as
// they went, and those of a long flow are moved by the kernel. So a slow receiver holds back its sender, as it would
// without us, and ten thousand of them cost nothing here.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "egress/egress_context.h"
#include "egress/inspect/first_bytes.h"
#include "egress/inspect/second_hello.h"
#include "egress/relay/dial.h"
#include "egress/relay/pipe.h"

namespace agentrun::egress {

class Flow : public Watcher {
 public:
  enum class NameCheck : std::uint8_t { none, wanted };
  struct Ends {
    Fd agent, outside;  // `outside` is empty: it is dialed first
  };
  using Over = std::function<void(Flow&)>;
  /// `ends.agent` is prepared (sockets.h). `buffer` is shared by all flows. `over` is called once, at the end; it
  /// retires this.
  Flow(Context& context, FlowFacts facts, Ends ends, NameCheck check, std::int64_t began, std::span<char> buffer,
       FlowCount flow_count, Over over);
  ~Flow() override;
  void start();
  /// Ends it with resets.
  void abort(std::string_view end, std::string_view reason = {}, std::string_view remedy = {});

 private:
  enum Side : unsigned { agent = 0, outside = 1 };
  struct Half {  // bytes from one side
    std::uint64_t bytes = 0;
    std::size_t chunk = 0;       // how much to look at next
    bool ended = false;          // its end was passed on
    bool blocked = false;        // the other side takes no more now
    bool drained = false;        // what is in the pipe is all that comes
    bool no_pipe = false;        // none was to be had
    std::unique_ptr<Pipe> pipe;  // for what comes after `long_flow` bytes
    bool little = true;          // messages are small, as far as is known
    std::string held;            // taken, and not sent yet: first bytes that passed, the rest of a small message
  };
  static constexpr Side other(Side side) { return side == agent ? outside : agent; }

  void ready(unsigned tag, std::uint32_t events) override;
  void expired() override;
  void dialed(Dial::Outcome outcome);
  void begin();
  void check_held(std::uint32_t events);
  void check_first_bytes();
  void judged(const Finding& finding, std::string_view bytes);
  void wait_for_answer();
  void relay_answer();
  void relay_line();
  void pump(Side from);
  void send(Side from, std::string_view bytes);
  void copy(Side from);
  void splice(Side from);
  void end_half(Side from);
  void failed(Side side);
  void watch(Side side);
  void forget(Side side);
  void leave_loop();
  void refuse(const std::string& why);
  void close(std::string_view end, std::string_view reason, std::string_view remedy = {});

  Context& context_;
  FlowFacts facts_;
  std::array<Fd, 2> sockets_;
  std::array<Half, 2> halves_;
  std::array<std::uint32_t, 2> watched_{};  // events that are waited for
  std::array<bool, 2> registered_{};
  std::int64_t began_;
  std::span<char> buffer_;
  FlowCount flow_count_;
  Over over_;
  std::unique_ptr<Dial> dial_;
  enum class Phase : std::uint8_t {
    free,         // nothing is judged any more
    first_bytes,  // they are held back until it is known whom they name
    answer,       // a ClientHello went; what the agent sends is held back until the server's answer is known
    next_hello,   // the server asked for another one: held back as the first
    line,         // a first line goes on that was none so far: passed on and watched
    shut,         // the server's answer was no TLS: nothing more of the agent's goes
  } phase_;
  [[nodiscard]] bool is_held() const noexcept { return phase_ != Phase::free && phase_ != Phase::line; }
  ServerAnswer answer_;
  FirstLine line_;
  bool agent_ended_ = false;                                // its end was seen while its bytes are held back
  bool clock_runs_ = false;                                 // the first of them is there
  Finding last_{.kind = Finding::Kind::more, .needed = 1};  // of the first `judged_` of them
  std::size_t judged_ = 0;
  bool opened_ = false;  // net.open stands in the journal
  bool over_called_ = false;
};

}  // namespace agentrun::egress
