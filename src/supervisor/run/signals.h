// The signals of a run: read by the loop, passed on to the command.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>

namespace agentrun::supervisor {

constexpr std::array forwarded = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGALRM,
                                  SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH};

/// The signals that the loop reads instead of dying of them; the old mask comes back at the end.
class Signals {
 public:
  Signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : forwarded) ::sigaddset(&set, signal);
    check(::sigprocmask(SIG_BLOCK, &set, &old_), "sigprocmask");
    fd_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
  }
  ~Signals() { ::sigprocmask(SIG_SETMASK, &old_, nullptr); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] int next() const noexcept {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }
  /// Stops as SIGTSTP does by default, and returns after SIGCONT. `target`: as kill(2) takes it, this process among
  /// them. Where no shell could continue it (an orphaned process group) the kernel does not stop it; by SIGSTOP it
  /// would.
  static void stop(pid_t target) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTSTP);
    ::kill(target, SIGTSTP);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
  }

 private:
  sigset_t old_{};
  Fd fd_;
};

}  // namespace agentrun::supervisor
