// A control group from systemd: a transient scope (org.freedesktop.systemd1(5)), of the user's manager, or of the
// system's for root. libsystemd is loaded only here and only when a limit needs it: without limits it costs nothing.
#pragma once

#include <agentrun/sandbox.h>
#include <sys/types.h>

#include <memory>

#include "sandbox/cgroup/cgroup.h"

namespace agentrun::sandbox {

/// What the manager of this user offers: the controllers that its own control group has. Never throws: see why_not.
LimitsHost::Offer look_at_scope();

/// A scope with limits, with `child` in it, read back. The process that is forked for it keeps the scope's counters
/// until end(). Throws SysError.
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
