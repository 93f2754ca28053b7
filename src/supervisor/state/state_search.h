// State directories in what a run would show, that nobody named: moved, copied, of another HOME or XDG_STATE_HOME.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

/// Their canonical paths. Looks at what stands above each grant of the host, then below them all, breadth first, at
/// `most` names at most: by shape (journal/state.h), and by identity for what `states` remembers. Not below `hidden`
/// (canonical), links, or where packages of the system put their files.
std::vector<std::string> find_states(const policy::Policy& policy, const std::vector<std::string>& hidden,
                                     const AgentWritableDirs& states, std::size_t most);

}  // namespace agentrun::supervisor
