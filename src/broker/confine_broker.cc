// Confines the broker: namespaces, capabilities, limits, and its own filter.
#include "broker/confine_broker.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <agentrun/filter.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/service.h>
#include <agentrun/sys/syscall_limits.h>

namespace agentrun::broker {

void enter_sandbox(int sandbox_pidfd, const Fd& host_proc) {
  check(::prctl(PR_SET_NAME, "agent-run-brkr", 0, 0, 0), "prctl", "PR_SET_NAME");
  ::setsid();  // fails only for a group leader, which a forked child is not
  check(::setns(sandbox_pidfd, CLONE_NEWUSER | CLONE_NEWNS), "setns", "sandbox");
  check(::fchdir(host_proc.get()), "fchdir", "/proc");
  shed_capabilities(CAP_SYS_PTRACE);
  set_service_limits();
  wipe_environment();
}

void load_own_filter() {
  load_filter_everywhere(filter::program(filter::Variant::broker), "broker");
}

}  // namespace agentrun::broker
