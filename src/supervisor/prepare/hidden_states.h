// State directories have keys and held changes. No command is shown one, whatever a profile grants.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/supervisor.h>
#include <agentrun/sys/mount_names.h>
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

/// Of one's own and of other runs' state directories those that may be there and within the command's reach. Also what
/// runs that are going on keep elsewhere, in sinks.
std::vector<std::string> states_to_hide(const std::vector<std::string>& states, const AgentWritableDirs& elsewhere);
/// With the other names that mounts give them, or parts of them.
std::vector<std::string> with_mounts(const std::vector<std::string>& paths, const MountNames& mounts);
/// Each by its canonical path, where it has one.
std::vector<std::string> real_paths(std::vector<std::string> paths);
/// State directories in the view that nobody named (find_states). Throws Refusal when the workspace lies in one.
std::vector<std::string> find_unnamed_states(const policy::Policy& policy, const std::vector<std::string>& hidden,
                                             const AgentWritableDirs& elsewhere);
/// A remark on each that is hidden for what it holds.
void add_remarks(Remarks& remarks, const policy::Policy& policy, const std::vector<std::string>& found);

}  // namespace agentrun::supervisor
