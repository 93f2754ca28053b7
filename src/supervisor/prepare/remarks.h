// Remarks at the start on what will later look like a fault of the command, because no rule refuses it.
#pragma once

#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// Looks at the host; throws nothing of what it finds there: what cannot be read is not remarked on.
Remarks remarks_of(const policy::Policy& policy, const sandbox::Plan& plan);

/// What to do about a command that is on the host and was not found in the sandbox; empty when it is not that.
std::string remedy_of_unshown(const Prepared& prepared, const std::string& command);

}  // namespace agentrun::supervisor
