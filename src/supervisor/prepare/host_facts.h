// What prepare.cc learns from the environment of whoever starts agent-run, for others that compile a policy.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// The files that git reads besides those of a repository: git-config(1), FILES and ENVIRONMENT.
std::vector<std::string> git_settings_of_user(const Places& places);

/// Name and value of each variable.
std::map<std::string, std::string> environment_map();

}  // namespace agentrun::supervisor
