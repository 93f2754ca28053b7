// Limits of the kernel and of the process: sysctls of our own namespaces, resource limits, umask, descriptors.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>

#include <initializer_list>

namespace agentrun::sandbox {

/// `proc`: a proc file system of the sandbox. Writes 0 to user/max_user_namespaces of our own user namespace (while
/// CAP_SYS_RESOURCE is held).
void set_kernel_limits(const Fd& proc);

/// `proc`: as above. Writes 1 to vm/memfd_noexec of our own pid namespace where there is one and we may (Linux 6.3):
/// files of memfd_create(2) cannot be executed unless they are asked for so.
void make_memory_files_data(const Fd& proc);

/// The plan's size of core files, open files and memory, as far as resource limits carry them, never more than before;
/// the plan's umask.
void set_process_limits(const Plan& plan);

/// RLIMIT_NPROC, of the agent alone: what else runs in its user namespace meanwhile (agent-run-nft) must not fail for
/// it. Where the plan says that it keeps the number of tasks, it is tried to have one too many. Throws SysError when
/// that works. For a process that is not pid 1 of the sandbox and has no threads.
void set_task_limit(const Plan& plan);

/// The soft limits that the command's parent had set, but for those that the plan sets, and never above the hard ones.
/// Last before the command's exec.
void hand_on_limits(const Plan& plan);

/// Closes every descriptor from `first` on but those of `keep` (close_range(2)).
void close_all_from(unsigned first, std::initializer_list<int> keep);

}  // namespace agentrun::sandbox
