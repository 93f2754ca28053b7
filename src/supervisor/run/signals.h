// The signals of a run: the loop reads them and forwards them to the command.
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

/// Blocks the signals that the loop reads. The destructor restores the old mask.
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
  /// them. In an orphaned process group, which no shell could continue, the kernel does not stop it; SIGSTOP would.
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
