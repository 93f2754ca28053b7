// Pid 1 of the sandbox, from the go message on: reaps, forwards signals, reports.
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

/// Signals with which the parent asks init to stop every process of the sandbox, to give the terminal to the agent that
/// waits in the background, and to continue every process. The kernel delivers the lowest number first, so a continued
/// agent has its terminal already.
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
/// The inverse; nullopt for bytes that encode_change() does not make.
std::optional<Sandbox::Change> decode_change(std::string_view bytes);

/// Blocks every signal: init takes them with sigtimedwait(2).
void block_signals();
/// For an agent that does not inherit the signals of agent-run's parent: unblocks every signal and resets SIGPIPE.
void reset_signals();

/// Protects init before the agent's first instruction: makes it undumpable, names it and loads its filter.
void seal_init();
/// Never returns. `status`: the socket to the parent. `wall_seconds`: after this time init kills everything; the parent
/// could be stopped and enforce no limit. `terminal`: the agent's, when it is held back from the agent.
[[noreturn]] void run_init(const Fd& status, pid_t agent, const Fd& terminal,
                           std::optional<std::uint64_t> wall_seconds) noexcept;

/// Loads a filter on the calling thread (seccomp(2)); returns the listener for SECCOMP_FILTER_FLAG_NEW_LISTENER.
Fd load_filter(filter::Variant variant, unsigned flags);

}  // namespace agentrun::sandbox
