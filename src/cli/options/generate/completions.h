// Completions for shells, made from the option table when agent-run is built.
#pragma once

#include <string>

namespace agentrun::cli {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace agentrun::cli
