// Pid 1 of the sandbox: waits for signals and children, and reports changes to the parent.
#include "sandbox/launch/init.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/sanitized.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <agentrun/sys/wire.h>

#include "sandbox/launch/launch_wire.h"

namespace agentrun::sandbox {

namespace {

using Change = Sandbox::Change;
using Kind = Change::Kind;

// `lost` is the parent's conclusion. It is never sent.
constexpr std::array sent_kinds = {Kind::exited, Kind::stopped, Kind::continued, Kind::timed_out};
constexpr std::size_t change_size = 1 + 1 + sizeof(std::int32_t);  // tag, kind, status
constexpr std::size_t inside_string = 15;  // of libstdc++: what a std::string holds without an allocation
static_assert(change_size <= inside_string, "encode_change() must not allocate");

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t longest_wait = 10 * second;  // sigtimedwait does not count suspended time

// From here on nothing allocates: init's filter kills it for a system call that is not on its list. A parent that does
// not read must not block init, so reports that the agent can cause at will are sent with MSG_DONTWAIT.
void report(const Fd& status_socket, Change change, int flags) noexcept {
  const std::string message = encode_change(change);
  (void)retry_eintr([&] { return ::send(status_socket.get(), message.data(), message.size(), flags | MSG_NOSIGNAL); });
}

// The kernel kills the pid namespace when init ends (pid_namespaces(7)). This kills it first, so that no process lives
// on while the last report waits for a stopped parent.
[[noreturn]] void end(const Fd& status_socket, Change change) noexcept {
  ::kill(-1, SIGKILL);
  report(status_socket, change, 0);
  ::_exit(0);
}

// `paused`: init itself stopped the agent, and does not report that. A late report would look like another stop to a
// parent that was continued meanwhile.
void reap(const Fd& status_socket, pid_t agent, bool paused) noexcept {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0;) {
    if (pid != agent) continue;
    const bool ended = WIFEXITED(status) || WIFSIGNALED(status);
    if (ended) end(status_socket, {Kind::exited, status});
    if (WIFSTOPPED(status) && paused) continue;
    report(status_socket, {WIFSTOPPED(status) ? Kind::stopped : Kind::continued, status}, MSG_DONTWAIT);
  }
}

// A sender inside the pid namespace is a process of the agent, which can signal the agent itself. A sender outside has
// pid 0.
bool is_from_outside(const siginfo_t& info) noexcept {
  return info.si_pid == 0;
}

}  // namespace

std::string encode_change(Change change) noexcept {
  WireWriter message(static_cast<char>(Tag::change), change_size);
  message.put(static_cast<std::uint8_t>(change.kind));
  message.put(static_cast<std::int32_t>(change.status));
  return std::move(message).take();
}

std::optional<Change> decode_change(std::string_view bytes) {
  WireReader reader(bytes);
  const auto tag = reader.number<char>();
  const Change change{static_cast<Kind>(reader.number<std::uint8_t>()), reader.number<std::int32_t>()};
  const bool known = std::ranges::find(sent_kinds, change.kind) != sent_kinds.end();
  if (tag != static_cast<char>(Tag::change) || !known || !reader.finished()) return std::nullopt;
  return change;
}

void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  check(::sigprocmask(SIG_SETMASK, &all, nullptr), "sigprocmask");
}

void reset_signals() {
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  check(::sigaction(SIGPIPE, &by_default, nullptr), "sigaction", "SIGPIPE");
  sigset_t none;
  ::sigemptyset(&none);
  check(::sigprocmask(SIG_SETMASK, &none, nullptr), "sigprocmask");
}

Fd load_filter(filter::Variant variant, unsigned flags) {
  const std::span<const sock_filter> program = filter::program(variant);
  const sock_fprog loaded{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  const long result = check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &loaded), "seccomp");
  return (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0 ? Fd(static_cast<int>(result)) : Fd();
}

void seal_init() {
  check(::prctl(PR_SET_DUMPABLE, 0), "prctl", "PR_SET_DUMPABLE");
  check(::prctl(PR_SET_NAME, "agent-run-init"), "prctl", "PR_SET_NAME");
  if (!sanitized) load_filter(filter::Variant::init, 0);
}

void run_init(const Fd& status, pid_t agent, const Fd& terminal, std::optional<std::uint64_t> wall_seconds) noexcept {
  sigset_t all;
  ::sigfillset(&all);
  bool paused = false;
  const std::int64_t deadline = boot_clock_ns() + static_cast<std::int64_t>(wall_seconds.value_or(0)) * second;
  for (;;) {
    const std::int64_t left = wall_seconds ? deadline - boot_clock_ns() : longest_wait;
    if (left <= 0) end(status, {Kind::timed_out, 0});
    const std::int64_t wait = std::min(left, longest_wait);
    const timespec timeout{.tv_sec = wait / second, .tv_nsec = wait % second};
    siginfo_t info{};
    const int signal = ::sigtimedwait(&all, &info, wall_seconds ? &timeout : nullptr);
    if (signal == SIGCHLD) reap(status, agent, paused);
    if (signal <= 0 || signal == SIGCHLD || !is_from_outside(info)) continue;
    if (signal == pause_signal() || signal == resume_signal()) {
      paused = signal == pause_signal();
      ::kill(-1, paused ? SIGSTOP : SIGCONT);
    }
    if (signal == terminal_signal() && terminal) {
      (void)::tcsetpgrp(terminal.get(), agent);
      ::kill(-agent, SIGCONT);
    }
    if (std::ranges::find(forwarded_signals, signal) == forwarded_signals.end()) continue;
    if (::kill(-agent, signal) != 0) ::kill(agent, signal);
  }
}

}  // namespace agentrun::sandbox
