// The person's terminal and the agent's own pty, and the bytes between them (docs/decisions/008).
#pragma once

#include <poll.h>
#include <termios.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::supervisor {

/// While it lives the person's terminal is raw and everything typed goes to the agent's pty, whose own line discipline
/// makes the signals. Inactive (and harmless) without a terminal.
class Terminal {
 public:
  /// held_back: this process is one of a pipeline, or has no standard descriptor that is a terminal. Others may read
  /// the person's keys, so the terminal is left as it is until bring_forward(); what the agent writes is shown at once.
  enum class Mode : std::uint8_t { foreground, held_back };
  /// `master`: the agent's pty, borrowed; −1 for none.
  Terminal(int master, Mode mode);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// What to poll for now; empty when there is nothing to relay.
  [[nodiscard]] std::vector<pollfd> interests() const;
  /// Moves what is ready. `ready` is what interests() gave, after poll(2).
  void relay(const std::vector<pollfd>& ready);
  /// Takes the window size of the person's terminal over to the agent's.
  void resize() const;
  /// Gives the terminal back (before stopping, at the end) and takes it again (after fg). take() does nothing while
  /// this process is in the background. At the end what was typed for the agent, or came as a terminal's answer to it,
  /// is not left for who reads next.
  enum class Unread : std::uint8_t { keep, discard };
  void give_back(Unread unread);
  void take();
  /// There is a terminal, and this process is of the job in its foreground.
  [[nodiscard]] bool in_foreground() const;
  [[nodiscard]] bool held_back() const noexcept { return held_back_; }
  /// The agent uses its terminal: from now on as in the foreground.
  void bring_forward();
  /// Moves what the agent has still written, without waiting longer than `milliseconds` in all.
  void drain(int milliseconds);

 private:
  void pump(int from, int to, std::string& buffer, bool& open);

  int master_;
  Fd tty_;  // an open file description of our own: non-blocking without changing the shell's
  std::optional<termios> saved_;
  bool raw_ = false, held_back_ = false;
  bool input_open_ = true, output_open_ = true;
  std::string to_agent_, to_person_;
};

}  // namespace agentrun::supervisor
