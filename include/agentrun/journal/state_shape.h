// Recognizes state directories anywhere, also those that were moved, copied, or made with another HOME.
#pragma once

#include <string>
#include <string_view>

namespace agentrun::journal {

/// True for the names of which every state directory has one.
bool marks_state(std::string_view entry) noexcept;

/// True when the directory has an identity's key, or its public half beside the journals of runs. Checks the content,
/// so that a file of another program with such a name does not count; a key of this user that is not readable does.
bool is_state_directory(const std::string& path);

/// Makes the directory if it is absent. Throws Refusal when it belongs to another user, or others may write to it;
/// SysError.
void require_state_directory(const std::string& path);

}  // namespace agentrun::journal
