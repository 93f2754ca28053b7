// Descriptors of the agent, taken into the broker's hands: the open file itself, once, so that what is read of it (its
// flags, what it is open on) is true of what is then acted on, whatever the agent puts behind the number meanwhile.
#pragma once

#include <agentrun/sys/fd.h>
#include "broker/task/task.h"

namespace agentrun::broker {

/// Which table of descriptors a number is of: the calling thread's own, as in its calls, or that of its process's first
/// thread, which is what /proc/<pid>/fd shows. They differ for threads made without CLONE_FILES.
enum class Table : std::uint8_t { thread, leader };

/// A duplicate of the task's descriptor; empty with errno: EBADF when there is none, ESRCH when the task is gone, or
/// what refused it. Also of what was opened with O_PATH.
Fd take_descriptor(const Task& task, int fd, Table table = Table::thread);

/// The open file that a directory `fd_directory` (O_PATH) below /proc shows as `name`, taken itself, when that is a
/// directory of the task's own descriptors (/proc/<pid>/fd, /proc/<tid>/fd, /proc/<pid>/task/<tid>/fd; /proc/self has
/// become one of these). Empty with errno ENOTSUP: it is another's, or no number; ENOENT: the task has no such
/// descriptor.
Fd take_shown(const Task& task, int host_proc, const Fd& fd_directory, const std::string& name);

/// What an open file is open on, as O_PATH: by the broker's own descriptor, so this is no look at the agent's. Empty
/// with errno.
Fd pin(int host_proc, const Fd& taken);

/// "self/fd/N": names a descriptor of this process below the host's /proc.
std::string self_fd(const Fd& fd);

}  // namespace agentrun::broker
