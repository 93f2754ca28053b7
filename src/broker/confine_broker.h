// Confines the broker before it first reads the agent's memory.
#pragma once

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// In order: starts a session; enters the sandbox's user and mount namespaces; changes to the host's /proc; gives up
/// privileges gained by exec; drops all capabilities but a permitted SYS_PTRACE, which is not effective; asks to die
/// with the parent; forbids core files; wipes the environment. The caller must have one thread. Throws SysError.
void enter_sandbox(int sandbox_pidfd, const Fd& host_proc);

/// Loads the broker's own filter, an allow list, into every thread of the process (TSYNC). Throws SysError.
void load_own_filter();

}  // namespace agentrun::broker
