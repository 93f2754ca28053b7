// How a notification wakes: on the processor where it was sent (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP), or where the
// scheduler likes. The first halves what a call costs while one task calls: no other processor has to be roused. When
// several call at one time it puts two of them on one processor, and another stays idle (docs/decisions/025).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>

#include "broker/notify/listener.h"

namespace agentrun::broker {

/// Who calls: one task for a while, then maybe another; or several by turns.
class Callers {
 public:
  /// A call of this task. True: several call by turns, by now.
  bool note(pid_t caller) noexcept;

 private:
  // A sum that may miss a call or two when receivers meet: it chooses between two ways that are both right.
  std::atomic<pid_t> last_{0};
  std::atomic<int> turns_{0};
  std::atomic<bool> several_{false};
};

/// The calling thread, a receiver, is to run soon when it is woken, also beside busy programs: a short time slice does
/// that for who mostly sleeps (sched_setattr(2), Linux 6.12; without effect before). Until a receiver has the call, a
/// signal of the caller ends it with EINTR (docs/decisions/033).
void ask_for_short_slices() noexcept;

/// Shared by the receivers.
class WakeUp {
 public:
  explicit WakeUp(const Listener& listener);
  /// A notification of this task was received.
  void note(pid_t caller) noexcept;

 private:
  const Listener& listener_;
  Callers callers_;
  std::atomic<bool> here_{true};
  std::mutex choosing_;
};

}  // namespace agentrun::broker
