// What decides what a run may do, and must not have been an agent's to decide: profiles, the state directory, helper
// programs, sinks.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/profile.h>
#include <agentrun/supervisor.h>
#include "supervisor/prepare/users_own.h"

namespace agentrun::supervisor {

/// policy::HostFacts::own: profiles, programs and the state directories `states`.
std::vector<std::string> own_paths(const Places& places, const std::vector<std::string>& states);

/// How an agent could have decided what a state directory (absolute) holds: a clause as of UsersOwn::fault.
std::string fault_of_state(const std::string& state, HostPaths& host, const Places& places);

// Each throws Refusal.

/// weaken: [floor-only] and a grant to change that reaches one of `own`.
void refuse_unkept(const policy::Policy& policy, const std::vector<std::string>& own);
/// A profile that an agent could have changed in an earlier run; before anything in it counts.
void refuse_agents_profiles(const std::vector<profile::Profile>& chain, const UsersOwn& own, const Places& places);
/// A profile that the agent of this run could change, but for those below `own` (attacks.md L3, L4).
void refuse_writable_profiles(const policy::Policy& policy, const std::vector<std::string>& own, HostPaths& host);
/// A state directory where an agent could write in an earlier run that did not hide it. `states`: all that are known.
void refuse_agents_state(const std::string& state, HostPaths& host, const Places& places);
/// --journal where the agent of this run may write.
void refuse_reachable_state(const policy::Policy& policy, const std::string& state);
/// A sink whose file the agent may read or write, or whose receiver or certificates an agent could have chosen. No
/// policy: of a command beside the runs.
void refuse_agents_sink(const policy::Policy* policy, const sink::Target& target, const UsersOwn& own,
                        const Places& places);

}  // namespace agentrun::supervisor
