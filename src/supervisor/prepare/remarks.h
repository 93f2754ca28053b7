// What can be known at the start of a run and will look like a fault of the command later on, since no rule refuses it.
#pragma once

#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// Looks at the host; throws nothing of what it finds there: what cannot be read is not remarked on.
Remarks remarks_of(const policy::Policy& policy, const sandbox::Plan& plan);

/// What to do about a command that is on the host and was not found in the sandbox; empty when it is not that.
std::string remedy_of_unshown(const Prepared& prepared, const std::string& command);

}  // namespace agentrun::supervisor
