// The path of a folder that stands deeper than the kernel tells: /proc/<pid>/cwd and fd give at most PATH_MAX.
#pragma once

#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// The canonical path of a folder in the view. `host_proc`: the host's /proc. 0; ENAMETOOLONG when it is longer or
/// deeper than is looked for, or a folder on the way cannot be read; ENOENT when it stands nowhere; EAGAIN when
/// something moved meanwhile.
int climb(int host_proc, const Fd& folder, std::string& path);

}  // namespace agentrun::broker
