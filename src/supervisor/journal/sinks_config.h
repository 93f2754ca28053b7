// The sinks of a policy, with the content of the files that their URLs name.
#pragma once

#include <vector>

#include <agentrun/policy.h>
#include <agentrun/supervisor.h>
#include "supervisor/prepare/users_own.h"

namespace agentrun::supervisor {

/// Prepares journal.sinks. Throws Refusal, also for a file that an agent could read or write.
std::vector<PreparedSink> sinks_of(const policy::Policy& policy, const UsersOwn& own, const Places& places);

}  // namespace agentrun::supervisor
