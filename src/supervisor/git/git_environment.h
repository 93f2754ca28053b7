// Settings of git that whoever starts agent-run has in the environment: git-config(1), ENVIRONMENT.
#pragma once

#include <map>
#include <string>

#include "supervisor/git/git_settings.h"

namespace agentrun::supervisor {

/// What GIT_CONFIG_COUNT, GIT_CONFIG_KEY_N, GIT_CONFIG_VALUE_N and GIT_CONFIG_PARAMETERS say, keys in small letters.
/// What git could not read says nothing. Bounded.
GitSettings git_settings_of_environment(const std::map<std::string, std::string>& environment);

}  // namespace agentrun::supervisor
