// The child's side of a launch: pid 1 of the sandbox, which forks the agent.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>

namespace agentrun::sandbox {

/// True when the plan's filter traps calls, so that a broker must answer them.
inline bool is_trapped(const Plan& plan) noexcept {
  return plan.filter != filter::Variant::agent_floor_only;
}

/// In the process that was cloned into the new namespaces; `status`: its end of the socket pair, as launch_wire.h
/// says. Never returns. A verb that fails is reported as Tag::failure and ends the process.
[[noreturn]] void run_child(const Plan& plan, Fd status) noexcept;

}  // namespace agentrun::sandbox
