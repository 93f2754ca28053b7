// A control group from systemd: a transient scope (org.freedesktop.systemd1(5)) of the user manager, or of the system
// manager for root. libsystemd is loaded only here, and only when a limit needs it.
#pragma once

#include <agentrun/sandbox.h>
#include <sys/types.h>

#include <memory>

#include "sandbox/cgroup/cgroup.h"

namespace agentrun::sandbox {

/// The controllers that the manager's own control group has. Never throws: see why_not.
LimitsHost::Offer look_at_scope();

/// A scope that contains `child`, with limits that were read back. A forked process in it keeps the scope's counters
/// readable until end(). Throws SysError.
class Scope {
 public:
  Scope() noexcept = default;
  Scope(pid_t child, const TreeLimits& limits);
  Scope(Scope&&) noexcept = default;
  Scope& operator=(Scope&&) noexcept;
  ~Scope() { end(); }

  [[nodiscard]] const Group& group() const noexcept { return group_; }
  void end() noexcept;

 private:
  Group group_;
  Fd holder_;
};

}  // namespace agentrun::sandbox
