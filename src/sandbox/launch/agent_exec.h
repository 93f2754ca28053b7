// execvpe(3) for a process whose filter traps every attempt.
#pragma once

#include <string>
#include <vector>

namespace agentrun::sandbox {

/// The files that execvp(3) would try, in its order: `name` if it has a slash, else `name` in each directory of PATH in
/// `environment`. An empty directory is the working directory; the default PATH is "/bin:/usr/bin". Pure.
std::vector<std::string> exec_candidates(const std::string& name, const std::vector<std::string>& environment);

/// Tries each candidate. /bin/sh runs a file whose format the kernel does not know. Never returns; throws SysError with
/// the errno of execvp(3).
[[noreturn]] void execute_in_path(const std::vector<std::string>& argv, const std::vector<std::string>& environment);

/// 127 for a missing program, 126 for one that cannot be executed (POSIX, XCU 2.8.2).
int exec_status(int error) noexcept;

}  // namespace agentrun::sandbox
