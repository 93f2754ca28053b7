#include "broker/confine_broker.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include <agentrun/filter.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/service.h>

namespace agentrun::broker {

namespace {

void shed_capabilities() {
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
      check(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl", "PR_CAPBSET_DROP");
    }
  }
  constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  check(::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0), "prctl", "PR_SET_SECUREBITS");
  check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl", "PR_CAP_AMBIENT");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0].permitted = 1U << CAP_SYS_PTRACE;
  check(::syscall(SYS_capset, &header, data.data()), "capset");
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
}

}  // namespace

void enter_sandbox(int sandbox_pidfd, const Fd& host_proc) {
  check(::prctl(PR_SET_NAME, "agent-run-brkr", 0, 0, 0), "prctl", "PR_SET_NAME");
  ::setsid();  // fails only for a group leader, which a forked child is not
  check(::setns(sandbox_pidfd, CLONE_NEWUSER | CLONE_NEWNS), "setns", "sandbox");
  check(::fchdir(host_proc.get()), "fchdir", "/proc");
  shed_capabilities();
  check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG");  // a change of credentials clears it
  set_service_limits();
  wipe_environment();
}

void load_own_filter() {
  load_filter_everywhere(filter::program(filter::Variant::broker), "broker");
}

}  // namespace agentrun::broker
