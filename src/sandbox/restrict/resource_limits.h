// Limits of the kernel and of the process: sysctls of the sandbox's namespaces, resource limits, umask, descriptors.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>

#include <initializer_list>

namespace agentrun::sandbox {

/// `proc`: a proc file system of the sandbox. Writes 0 to user/max_user_namespaces of the caller's user namespace.
/// Needs CAP_SYS_RESOURCE.
void set_kernel_limits(const Fd& proc);

/// `proc`: as above. Writes 1 to vm/memfd_noexec of the caller's pid namespace, where the kernel has it (Linux 6.3) and
/// permits it: files of memfd_create(2) are then not executable unless MFD_EXEC asks for it.
void make_memory_files_data(const Fd& proc);

/// Sets the plan's umask and its limits of core files, open files and memory, as far as resource limits enforce them.
/// Never raises a limit.
void set_process_limits(const Plan& plan);

/// Sets RLIMIT_NPROC of the agent alone: other programs in its user namespace (agent-run-nft) must not fail because of
/// it. Where the plan relies on RLIMIT_NPROC, this tries to fork one task too many and throws SysError when that works.
/// The caller has no threads and is not pid 1 of the sandbox.
void set_task_limit(const Plan& plan);

/// Sets the soft limits that the command's parent had, except those that the plan sets, and never above the hard
/// limits. Call it last before the command's exec.
void hand_on_limits(const Plan& plan);

/// Closes every descriptor from `first` on except those in `open` (close_range(2)).
void close_all_from(unsigned first, std::initializer_list<int> open);

}  // namespace agentrun::sandbox
