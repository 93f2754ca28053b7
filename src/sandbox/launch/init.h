// Pid 1 of the sandbox, once the agent is told to go: reaps, forwards, reports.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>
#include <signal.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::sandbox {

/// Signals that init passes on to the agent's process group.
inline constexpr std::array forwarded_signals{SIGTERM,  SIGINT,  SIGHUP,  SIGQUIT, SIGALRM,
                                              SIGWINCH, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2};

/// What the parent asks of init by signal: to stop every process of the sandbox, to give the agent, which waits in the
/// background, its terminal, and to let all go on. The lower number is taken first: who goes on has its terminal
/// already.
inline int pause_signal() noexcept {
  return SIGRTMIN;
}
inline int terminal_signal() noexcept {
  return SIGRTMIN + 1;
}
inline int resume_signal() noexcept {
  return SIGRTMIN + 2;
}

/// A change of the agent's state as a whole message of launch_wire.h, with Tag::change. Allocates nothing. `status`: as
/// wait(2) gives it.
std::string encode_change(Sandbox::Change change) noexcept;
/// The inverse; nullopt for what encode_change() does not make.
std::optional<Sandbox::Change> decode_change(std::string_view bytes);

/// Blocks every signal: init takes them with sigtimedwait(2).
void block_signals();
/// The agent's start where nothing is handed on from agent-run's parent: nothing blocked; SIGPIPE as by default.
void reset_signals();

/// Makes init untouchable before the agent's first instruction: not dumpable, its own name, its own filter.
void seal_init();
/// Never returns. `status`: the socket to the parent. `wall_seconds`: after so long everything is killed, whether the
/// parent runs or not (a stopped one keeps no limit). `terminal`: the agent's, when it is held back from it.
[[noreturn]] void run_init(const Fd& status, pid_t agent, const Fd& terminal,
                           std::optional<std::uint64_t> wall_seconds) noexcept;

/// Loads a filter on the calling thread (seccomp(2)); returns the listener for SECCOMP_FILTER_FLAG_NEW_LISTENER.
Fd load_filter(filter::Variant variant, unsigned flags);

}  // namespace agentrun::sandbox
