// The programs that agent-run starts, and where they are: the only place that knows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::supervisor {

/// Every path at which a start of the agent-run at `program` (absolute) would look for a helper program, whether or not
/// something is there. Relative to `program` alone: neither PATH nor another variable has a say.
std::vector<std::string> helper_places(std::string_view program);

}  // namespace agentrun::supervisor
