// Finds state directories in the view that nobody named: moved, copied, or of another HOME or XDG_STATE_HOME.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

/// Returns canonical paths. Looks above each grant of the host, then below all of them, breadth first, at `most` names
/// at most. Recognises a state directory by its shape (journal/state_shape.h), or by an identity that `states`
/// remembers. Does not search below `hidden` (canonical), behind links, or in directories of system packages.
std::vector<std::string> find_states(const policy::Policy& policy, const std::vector<std::string>& hidden,
                                     const AgentWritableDirs& states, std::size_t most);

}  // namespace agentrun::supervisor
