// agent-run's own processes that serve the supervisor during a run, each over a control channel; and the privileges
// that all of them drop.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include <agentrun/sys/fd.h>
#include <agentrun/sys/process.h>

namespace agentrun {

/// socketpair(2): both ends of a SOCK_SEQPACKET channel. Throws SysError.
std::array<Fd, 2> message_channel();

/// fork(2), also where ThreadSanitizer would start a thread in the child: setns(2) refuses a process with threads.
/// Throws SysError.
pid_t fork_process();

/// Call it first in a forked child. The child then dies with `parent`, even if `parent` died before the call (prctl(2),
/// PR_SET_PDEATHSIG). Throws SysError.
void die_with(pid_t parent);

/// A process with its pidfd and its control channel. The destructor kills and reaps it.
class Service {
 public:
  /// Forks. The child dies with this process, calls `life` with its end of the channel and ends when that returns or
  /// throws; `life` decides what it closes, drops and reports. The caller must have no other thread. Throws
  /// SysError.
  static Service start(const std::function<void(const Fd& control)>& life);

  [[nodiscard]] const Fd& pidfd() const noexcept { return pidfd_; }  // readable when it is dead
  [[nodiscard]] const Fd& control() const noexcept { return control_; }
  /// The next message; nullopt at end of file (the service is gone) and when a time-out that was set has passed.
  [[nodiscard]] std::optional<Message> receive() const;
  /// Sends "finish". From now on receive() waits at most 5 s for each message. False: the service is gone.
  [[nodiscard]] bool ask_to_finish() const;
  /// Kills the service after its last message (SIGKILL). The destructor waits until the kernel has ended it.
  void dismiss() const noexcept;

  Service(Service&&) noexcept = default;
  Service& operator=(Service&&) = delete;
  ~Service();

 private:
  Service(pid_t pid, Fd pidfd, Fd control) : pid_(pid), pidfd_(std::move(pidfd)), control_(std::move(control)) {}
  pid_t pid_;
  Fd pidfd_;
  Fd control_;
};

/// Forbids core files and raises RLIMIT_NOFILE to its hard limit (setrlimit(2)). Throws SysError.
void set_service_limits();

/// Loads a seccomp filter into every thread of this process (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). `object` names it
/// in errors. Does nothing in builds with a sanitizer, whose run time makes its own system calls. Throws SysError.
void load_filter_everywhere(std::span<const sock_filter> program, std::string_view object);

}  // namespace agentrun
