// The sinks that a policy names, with what their URLs name on this host.
#pragma once

#include <vector>

#include <agentrun/policy.h>
#include <agentrun/supervisor.h>
#include "supervisor/prepare/users_own.h"

namespace agentrun::supervisor {

/// journal.sinks, each read and found to be out of every agent's hands. Throws Refusal.
std::vector<PreparedSink> sinks_of(const policy::Policy& policy, const UsersOwn& own, const Places& places);

}  // namespace agentrun::supervisor
