// What the options of a run say, as the chain of profiles that the policy is made of.
#pragma once

#include <string>
#include <vector>

#include <agentrun/profile.h>
#include <agentrun/supervisor.h>
#include "supervisor/host/host_paths.h"
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

/// -p, in order, each with what it extends. Throws Refusal (profile::ProfileError among them).
std::vector<profile::Profile> load_profiles(const Options& options, const Places& places);

/// --read, --write, --overlay, --allow-host and --sink as one more profile of the chain. Throws Refusal.
profile::Profile command_line_profile(const Options& options, const std::string& workspace, HostPaths& host_paths,
                                      const AgentWritableDirs& written);

}  // namespace agentrun::supervisor
