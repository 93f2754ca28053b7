#include "sandbox/init.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/sanitized.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sandbox/wire.h"

namespace agentrun::sandbox {

namespace {

constexpr char exited = 'e', stopped = 's', continued = 'c';

// From here on nothing allocates: init's filter kills it for a call that is not on its list.
void report(const Fd& status_socket, char kind, int status) noexcept {
  const auto message = encode_change(kind, status);
  (void)retry_eintr([&] { return ::write(status_socket.get(), message.data(), message.size()); });
}

void reap(const Fd& status_socket, pid_t agent) noexcept {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0;) {
    if (pid != agent) continue;
    const bool ended = WIFEXITED(status) || WIFSIGNALED(status);
    report(status_socket, ended ? exited : WIFSTOPPED(status) ? stopped : continued, status);
    if (ended) ::_exit(0);  // the kernel kills what is left of the pid namespace (pid_namespaces(7))
  }
}

// A sender in our own pid namespace is the agent's tree, which may signal itself without our help. One outside has pid
// 0.
bool is_from_outside(const siginfo_t& info) noexcept {
  return info.si_pid == 0;
}

}  // namespace

std::array<char, 6> encode_change(char kind, int status) noexcept {
  std::array<char, 6> message{static_cast<char>(Tag::change), kind};
  static_assert(sizeof status == 4);
  std::memcpy(message.data() + 2, &status, sizeof status);
  return message;
}

std::optional<Sandbox::Change> decode_change(std::string_view payload) {
  using Kind = Sandbox::Change::Kind;
  if (payload.size() != 1 + sizeof(int)) return std::nullopt;
  const int status = int_of(payload.substr(1)).value_or(0);
  switch (payload.front()) {
    case exited:
      return Sandbox::Change{Kind::exited, status};
    case stopped:
      return Sandbox::Change{Kind::stopped, status};
    case continued:
      return Sandbox::Change{Kind::continued, status};
    default:
      return std::nullopt;
  }
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

void run_init(const Fd& status, pid_t agent) noexcept {
  sigset_t all;
  ::sigfillset(&all);
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigtimedwait(&all, &info, nullptr);
    if (signal == SIGCHLD) reap(status, agent);
    if (signal <= 0 || signal == SIGCHLD || !is_from_outside(info)) continue;
    if (std::ranges::find(forwarded_signals, signal) == forwarded_signals.end()) continue;
    if (::kill(-agent, signal) != 0) ::kill(agent, signal);
  }
}

}  // namespace agentrun::sandbox
