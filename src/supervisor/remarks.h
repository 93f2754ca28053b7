// What can be known at the start of a run and will look like a fault of the command later on, since no rule refuses it.
#pragma once

#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// Looks at the host; throws nothing of what it finds there: what cannot be read is not remarked on.
Remarks remarks_of(const policy::Policy& policy, const sandbox::Plan& plan);

}  // namespace agentrun::supervisor
