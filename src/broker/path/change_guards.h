// What is guarded from change by other names, searched for beside the launch: in a large workspace that takes longer
// than the start itself. Whoever is about to allow a change waits for the end, so that the agent changes nothing
// before.
#pragma once

#include <atomic>

#include <agentrun/policy.h>
#include <agentrun/policy/objects.h>
#include <agentrun/sys/fd.h>

namespace agentrun::broker {

class ChangeGuards {
 public:
  explicit ChangeGuards(const policy::Policy& policy)
      : policy_(policy),
        done_(!policy.may_guard_below("/") && policy.denied_objects().unshown().beginnings().empty() &&
              !policy.writable_noexec()) {}

  /// Searches, on a thread of its own unless there is nothing to search for. What was left out is reported on
  /// `control`.
  void start(const Fd& control);
  /// Waits for the end of the search.
  [[nodiscard]] const policy::ProtectedObjects& found() const noexcept {
    done_.wait(false, std::memory_order_acquire);
    return found_;
  }
  /// With exec.writable: deny: what is written by other names than those that it is executed by. Waits as found() does.
  [[nodiscard]] const policy::ProtectedObjects& writable() const noexcept {
    done_.wait(false, std::memory_order_acquire);
    return writable_;
  }
  /// Does the agent change something of the host at this path, if anything?
  [[nodiscard]] bool concern(std::string_view path) const noexcept;

 private:
  void search(const Fd& control) noexcept;

  const policy::Policy& policy_;
  policy::ProtectedObjects found_, writable_;  // written before done_
  std::atomic<bool> done_;
};

}  // namespace agentrun::broker
