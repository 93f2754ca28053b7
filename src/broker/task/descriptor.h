// Duplicates descriptors of the agent, each once. What is read from the open file (its flags, its object) then holds
// for what is acted on, whatever the agent puts behind the number meanwhile.
#pragma once

#include <agentrun/sys/fd.h>
#include "broker/task/task.h"

namespace agentrun::broker {

/// The table that a descriptor number belongs to: the calling thread's own, which calls use, or that of the thread
/// group's leader, which /proc/<pid>/fd shows. The two differ for threads created without CLONE_FILES.
enum class Table : std::uint8_t { thread, leader };

/// Duplicates the task's descriptor, also one opened with O_PATH. Empty with errno: EBADF when there is none, ESRCH
/// when the task is gone, or the errno of the refusal.
Fd take_descriptor(const Task& task, int fd, Table table = Table::thread);

/// Duplicates the open file that `fd_directory` (O_PATH, below /proc) shows as `name`. The directory must show the
/// task's own descriptors: /proc/<pid>/fd, /proc/<tid>/fd or /proc/<pid>/task/<tid>/fd (/proc/self is resolved to one
/// of them before). Empty with errno: ENOTSUP when the directory is another task's or `name` is no number, ENOENT when
/// the task has no such descriptor.
Fd take_shown(const Task& task, int host_proc, const Fd& fd_directory, const std::string& name);

/// Opens the object of an open file as O_PATH, by the broker's own descriptor: not a second look at the agent's. Empty
/// with errno.
Fd pin(int host_proc, const Fd& taken);

/// "self/fd/N": the name of a descriptor of this process below the host's /proc.
std::string self_fd(const Fd& fd);

}  // namespace agentrun::broker
