// Processes of our own that serve the supervisor for the length of a run, each at the end of a control channel, and
// what they have in common when they shed what they do not need.
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

/// Called first in a forked child: it dies with `parent`, also when that has died already (prctl(2), PR_SET_PDEATHSIG).
/// Throws SysError.
void die_with(pid_t parent);

/// A process that is held by its pidfd and spoken to over its control channel. Destroyed: it is killed and reaped.
class Service {
 public:
  /// Forks. The child dies with this process, calls `life` with its end of the channel and ends when that returns or
  /// throws; what it closes, sheds and reports is its own business. The caller must have no other thread. Throws
  /// SysError.
  static Service start(const std::function<void(const Fd& control)>& life);

  [[nodiscard]] const Fd& pidfd() const noexcept { return pidfd_; }  // readable when it is dead
  [[nodiscard]] const Fd& control() const noexcept { return control_; }
  /// The next message; nullopt at end of file (it is gone) and when a time-out that was set has passed.
  [[nodiscard]] std::optional<Message> hear() const;
  /// Says "finish": from now on `hear` waits 5 s for each message. False: it is gone.
  [[nodiscard]] bool ask_to_finish() const;
  /// After its last word: it does nothing more (SIGKILL). The kernel tidies up after it meanwhile; the destructor waits
  /// for that.
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

/// No core file, and as many descriptors as there may be (setrlimit(2)). Throws SysError.
void set_service_limits();

/// Loads a seccomp filter into every thread of this process (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). `object` names it
/// in errors. Nothing where a sanitizer runs, whose run time makes calls of its own. Throws SysError.
void load_filter_everywhere(std::span<const sock_filter> program, std::string_view object);

}  // namespace agentrun
