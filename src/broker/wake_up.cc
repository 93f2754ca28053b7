#include "broker/wake_up.h"

namespace agentrun::broker {

namespace {

// Of the last calls, about sixteen, the share that came from another task than the call before. A script that starts one
// program after the other stays near a tenth, two compilers that read their headers at one time come near to a half.
constexpr int whole = 1024, calls_remembered = 16;
constexpr int several_from = whole / 4, several_until = whole / 8;

}  // namespace

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

WakeUp::WakeUp(const Listener& listener) : listener_(listener) { listener_.set_sync_wake_up(true); }

void WakeUp::note(pid_t caller) noexcept {
  const bool here = !callers_.note(caller);
  if (here == here_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(choosing_, std::try_to_lock);
  if (!lock) return;  // another receiver does; the next call asks again
  here_.store(here, std::memory_order_relaxed);
  listener_.set_sync_wake_up(here);
}

}  // namespace agentrun::broker
