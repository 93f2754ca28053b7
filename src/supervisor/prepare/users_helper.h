// The helper program that agent-run runs outside of every sandbox: the user's, not an agent's.
#pragma once

#include <string>

#include "supervisor/host/helper_programs.h"
#include "supervisor/prepare/users_own.h"

namespace agentrun::supervisor {

/// The path to run, without a link. Throws Refusal when there is none, when another user could have put it there, or
/// when the agent of an earlier run could (decision 048). agent-run itself is not asked about: it could not know.
std::string users_helper(Helper helper, const UsersOwn& own);

}  // namespace agentrun::supervisor
