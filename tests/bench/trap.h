// What the bare floors have in common: a child under a filter that traps one call and nothing else, and who answers it.
#pragma once

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/service.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>

namespace agentrun::bench {

/// Puts the calling thread under the filter; the listener.
inline Fd trap(unsigned call) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
  };
  const sock_fprog loaded{.len = std::size(program), .filter = program};
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  constexpr unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return Fd(static_cast<int>(check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &loaded), "seccomp")));
}

/// `child` runs in a child and sends its descriptors over the socket that it is given; `serve` gets them here. Returns
/// the child's exit status; what it throws is for its caller, in the child.
int with_child(auto child, auto serve) {
  auto ends = message_channel();
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    ends[0].reset();
    child(ends[1]);
    return 0;
  }
  ends[1].reset();
  if (auto message = recv_message(ends[0])) serve(std::move(message->fds), pid);
  int status = 0;
  check(retry_eintr([&] { return ::waitpid(pid, &status, 0); }), "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace agentrun::bench
