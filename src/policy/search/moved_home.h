// Variables by which the user's programs look elsewhere for what a home directory holds: XDG_CONFIG_HOME for ~/.config.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/compile/draft.h"

namespace agentrun::policy {

/// What the variables of HostFacts::environment say: each directory or file, as named and where it leads. Relative
/// values start at the workspace, but for the XDG ones, which are to be ignored then; "~/" and "$HOME/" are expanded,
/// nothing else is.
std::vector<MovedHome> moved_home(const HostFacts& facts, const Variables& variables);

/// Is the pattern, which begins in the home directory, one of what `moved` puts elsewhere? There it is this one.
/// With Names::below only when it names something inside of it.
enum class Names : std::uint8_t { all, below };
std::optional<PathPattern> moved_pattern(const MovedHome& moved, const PathPattern& in_home, Names names);

}  // namespace agentrun::policy
