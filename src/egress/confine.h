// What egress sheds before it reads the first byte of the agent's.
#pragma once

namespace agentrun::egress {

/// Own session and death with the parent, which must be `parent`; signals of the terminal ignored; not dumpable; no core file;
/// as many descriptors as there may be; no environment. Throws SysError.
void stand_alone(int parent);

/// Loads egress's own allow list into every thread of the process (TSYNC). Throws SysError.
void load_own_filter();

/// fork(2), also where a sanitizer would start a thread in the child. Throws SysError.
int fork_process();

}  // namespace agentrun::egress
