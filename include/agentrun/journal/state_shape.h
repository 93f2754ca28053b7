// What a state directory looks like, wherever it stands: one that was moved, copied or kept under another HOME is told
// from others.
#pragma once

#include <string>
#include <string_view>

namespace agentrun::journal {

/// Every state directory has an entry of one of these names.
bool marks_state(std::string_view entry) noexcept;

/// Does this directory hold an identity's key, or its public half beside the journals of runs? Looks at the content, so
/// that a file of another program that happens to have such a name does not count; a key of this user that cannot be
/// read does.
bool is_state_directory(const std::string& path);

/// Makes it where it is not there. Throws Refusal when it is another user's, or others may write there; SysError.
void require_state_directory(const std::string& path);

}  // namespace agentrun::journal
