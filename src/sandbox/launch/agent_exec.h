// execvpe(3) by hand, for a process whose filter traps every attempt.
#pragma once

#include <string>
#include <vector>

namespace agentrun::sandbox {

/// The files that execvp(3) would try, in its order: `name` itself when it has a slash, else name in each directory of
/// PATH of `environment` (an empty directory is the working directory; without PATH "/bin:/usr/bin"). Pure.
std::vector<std::string> exec_candidates(const std::string& name, const std::vector<std::string>& environment);

/// Tries them. A file without a format that the kernel knows is run by /bin/sh. Returns by SysError only: the errno
/// that execvp(3) would give.
[[noreturn]] void execute_in_path(const std::vector<std::string>& argv, const std::vector<std::string>& environment);

/// 127 for a program that is not there, 126 for one that cannot be run (POSIX, XCU 2.8.2).
int exec_status(int error) noexcept;

}  // namespace agentrun::sandbox
