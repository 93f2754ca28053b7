// Chooses whether the kernel wakes caller and receiver on one processor (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).
#include "broker/notify/sync_wakeup.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace agentrun::broker {

namespace {

// The share of the last calls, about sixteen, that came from another task than the call before. A script that starts
// one program after another stays near a tenth. Two compilers that read their headers at once come near a half.
constexpr int whole = 1024, calls_remembered = 16;
constexpr int several_from = whole / 4, several_until = whole / 8;

// struct sched_attr of sched_setattr(2), which the C library of Debian 12 lacks.
struct SchedulingAttributes {
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;  // runtime: of the normal policies, the slice in ns
};
constexpr std::uint64_t shortest_slice_ns = 100'000;

}  // namespace

void ask_for_short_slices() noexcept {
  SchedulingAttributes attributes{};
  attributes.size = sizeof attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;  // only slower
  attributes.runtime = shortest_slice_ns;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

bool Callers::note(pid_t caller) noexcept {
  const bool turn = last_.exchange(caller, std::memory_order_relaxed) != caller;
  const int before = turns_.load(std::memory_order_relaxed);
  const int turns = before + ((turn ? whole : 0) - before) / calls_remembered;
  turns_.store(turns, std::memory_order_relaxed);
  const bool was = several_.load(std::memory_order_relaxed);
  const bool several = turns >= (was ? several_until : several_from);
  if (several != was) several_.store(several, std::memory_order_relaxed);
  return several;
}

WakeUp::WakeUp(const Listener& listener) : listener_(listener) {
  listener_.set_sync_wake_up(true);
}

void WakeUp::note(pid_t caller) noexcept {
  const bool here = !callers_.note(caller);
  if (here == here_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(choosing_, std::try_to_lock);
  if (!lock) return;  // another receiver switches; the next call asks again
  here_.store(here, std::memory_order_relaxed);
  listener_.set_sync_wake_up(here);
}

}  // namespace agentrun::broker
