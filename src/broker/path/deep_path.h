// The path of a directory that stands deeper than the kernel shows: /proc/<pid>/cwd and fd give at most PATH_MAX.
#pragma once

#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// The canonical path of a directory in the view. `host_proc`: the host's /proc. 0; ENAMETOOLONG when it is longer or
/// deeper than is looked for, or a directory on the way cannot be read; ENOENT when it stands nowhere; EAGAIN when
/// something moved meanwhile.
int path_of_deep_directory(int host_proc, const Fd& directory, std::string& path);

}  // namespace agentrun::broker
