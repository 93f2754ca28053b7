// The person's terminal and the agent's own pty, and the bytes between them.
#pragma once

#include <poll.h>
#include <termios.h>

#include <optional>
#include <string>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::supervisor {

/// While it lives the person's terminal is raw and everything typed goes to the agent's pty, whose own line discipline
/// makes the signals. Inactive (and harmless) without a terminal.
class Terminal {
 public:
  /// `master`: the agent's pty, borrowed; −1 for none.
  explicit Terminal(int master);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// What to poll for now; empty when there is nothing to relay.
  [[nodiscard]] std::vector<pollfd> interests() const;
  /// Moves what is ready. `ready` is what interests() gave, after poll(2).
  void relay(const std::vector<pollfd>& ready);
  /// Takes the window size of the person's terminal over to the agent's.
  void resize() const;
  /// Gives the terminal back (before stopping, at the end) and takes it again (after fg). take() does nothing while this
  /// process is in the background.
  void give_back();
  void take();
  /// There is a terminal, and this process is of the job in its foreground.
  [[nodiscard]] bool in_foreground() const;
  /// Moves what the agent has still written, without waiting longer than `milliseconds` in all.
  void drain(int milliseconds);

 private:
  void pump(int from, int to, std::string& buffer, bool& open);

  int master_;
  Fd tty_;  // an open file description of our own: non-blocking without changing the shell's
  std::optional<termios> saved_;
  bool raw_ = false;
  bool input_open_ = true, output_open_ = true;
  std::string to_agent_, to_person_;
};

}  // namespace agentrun::supervisor
