// Chooses where a notification wakes its receiver: on the sender's processor (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP), or
// where the scheduler likes. The sender's processor halves the cost of a call while one task calls, since no other
// processor has to wake up. When several tasks call at once, it crowds two of them on one processor while another stays
// idle (decision 025).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>

#include "broker/notify/listener.h"

namespace agentrun::broker {

/// Tells one calling task, or one after another, from several that call by turns.
class Callers {
 public:
  /// Notes a call of this task. Returns whether several tasks now call by turns.
  bool note(pid_t caller) noexcept;

 private:
  // Receivers that race may lose a call or two in this sum. That does no harm: either choice is correct.
  std::atomic<pid_t> last_{0};
  std::atomic<int> turns_{0};
  std::atomic<bool> several_{false};
};

/// Makes the calling thread, a receiver, run soon after it wakes, even beside busy programs: a short time slice does
/// that for a thread that mostly sleeps (sched_setattr(2); no effect before Linux 6.12). Until a receiver has the call,
/// a signal to the caller ends the call with EINTR (decision 033).
void ask_for_short_slices() noexcept;

/// Shared by the receivers.
class WakeUp {
 public:
  explicit WakeUp(const Listener& listener);
  /// Notes that a notification of this task was received.
  void note(pid_t caller) noexcept;

 private:
  const Listener& listener_;
  Callers callers_;
  std::atomic<bool> here_{true};
  std::mutex choosing_;
};

}  // namespace agentrun::broker
