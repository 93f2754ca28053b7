// The workspace, and the names by which a person calls what they name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/profile.h>
#include <agentrun/supervisor.h>
#include "supervisor/host/host_paths.h"
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

struct Workspace {
  std::string path, named;  // canonical, and as a person names it
};
/// The option, else the last profile that says one, else the current directory. Throws Refusal.
Workspace workspace_of(const Options& options, const std::vector<profile::Profile>& chain, const Places& places,
                       HostPaths& host, const AgentWritableDirs& written);

/// The absolute path by which a person names what is at `real`, links and all; `real` where the words do not lead there
/// plainly.
std::string as_named(const std::string& path, const std::string& real);

/// Throws Refusal: what a person names, `what`, is reached through a link that an agent could have left.
void refuse_planted_links(HostPaths& host, const AgentWritableDirs& written, const std::string& path,
                          std::string_view what);

/// Where the command starts: here, if the policy shows it and it lies in the workspace; else in the workspace.
std::string start_directory(const policy::Policy& policy);

}  // namespace agentrun::supervisor
