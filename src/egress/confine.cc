#include "egress/confine.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <agentrun/filter.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/sanitized.h>

namespace agentrun::egress {

void stand_alone(int parent) {
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG");
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);
  check(::prctl(PR_SET_NAME, "agent-run-net", 0, 0, 0), "prctl", "PR_SET_NAME");
  check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
  ::setsid();  // fails only for a group leader, which a forked child is not
  for (const int signal : {SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM})
    ::signal(signal, SIG_IGN);
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  check(::setrlimit(RLIMIT_CORE, &no_core), "setrlimit", "RLIMIT_CORE");
  rlimit files{};
  check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit", "RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit", "RLIMIT_NOFILE");
  wipe_environment();
}

void load_own_filter() {
  if (sanitized) return;
  const auto instructions = filter::program(filter::Variant::egress);
  const sock_fprog program{.len = static_cast<unsigned short>(instructions.size()),
                           .filter = const_cast<sock_filter*>(instructions.data())};
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (result > 0) throw SysError(EAGAIN, "seccomp", "TSYNC: a thread would not take the filter");
  check(result, "seccomp", "egress filter");
}

int fork_process() {
#ifdef __SANITIZE_THREAD__
  // Past the run time of ThreadSanitizer, which starts a thread in each child: setns(2) refuses a process with threads.
  return static_cast<int>(check(::syscall(SYS_fork), "fork"));
#else
  return check(::fork(), "fork");
#endif
}

}  // namespace agentrun::egress
