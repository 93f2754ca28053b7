// What the broker sheds before it looks at the agent's memory for the first time.
#pragma once

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// In order: own session and death with the parent; the sandbox's user and mount namespaces; working directory on the
/// host's /proc; no capability but a permitted SYS_PTRACE, none effective; nothing gained by exec; no core file; no
/// environment. Single-threaded caller. Throws SysError.
void enter_sandbox(int sandbox_pidfd, const Fd& host_proc);

/// Loads the broker's own allow list into every thread of the process (TSYNC). Throws SysError.
void load_own_filter();

}  // namespace agentrun::broker
