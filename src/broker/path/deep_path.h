// Finds the path of a directory that is deeper than the kernel shows: /proc/<pid>/cwd and fd show at most PATH_MAX.
#pragma once

#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// Finds the canonical path of a directory in the mount view. `host_proc`: the host's /proc. Returns 0; ENAMETOOLONG
/// when the path exceeds the limits of the search, or a directory on the path cannot be read; ENOENT when the directory
/// is not in the tree; EAGAIN when something moved meanwhile.
int path_of_deep_directory(int host_proc, const Fd& directory, std::string& path);

}  // namespace agentrun::broker
