// The programs that agent-run starts, and where they are: the only place that knows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::supervisor {

enum class Helper : std::uint8_t { nft, sink };

/// Where a helper program is. `named`: as a start looks for it, with what links are on the way; `path`: what to run,
/// without a link.
struct FoundHelper {
  std::string named, path;
};
/// The helper program that a start would take, if no other user can have put it there (helper_trust.h). Whether an
/// agent can is not asked: run what users_helper() gives. Throws Refusal.
FoundHelper find_helper(Helper helper);

/// Every path at which a start of the agent-run at `program` (absolute) would look for a helper program, whether or not
/// something is there. Relative to `program` alone: neither PATH nor another variable has a say.
std::vector<std::string> helper_places(std::string_view program);

}  // namespace agentrun::supervisor
