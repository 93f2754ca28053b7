// Decides whether a helper program can be trusted: nobody but those who could replace agent-run may have put it there.
#pragma once

#include <string>

namespace agentrun::supervisor {

/// The path of the helper program without symbolic links, which is what has been checked: run no other spelling of it.
/// `helper` and `program` (agent-run itself, without symbolic links) are absolute.
///
/// The file, every directory on the way and every symbolic link must belong to root or to somebody who owns `program`
/// or a directory above it. None may be writable by others, but a directory with the sticky bit, nor by a group that
/// could not write `program` or a directory above it. Throws Refusal, or SysError when something cannot be looked at.
std::string trusted_helper(const std::string& helper, const std::string& program);

}  // namespace agentrun::supervisor
