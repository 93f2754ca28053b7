// What egress sheds before it reads the first byte of the agent's.
#pragma once

namespace agentrun::egress {

/// Own session; signals of the terminal ignored; not dumpable; no core file; as many descriptors as there may be; no
/// environment. Throws SysError.
void stand_alone();

/// Loads egress's own allow list into every thread of the process (TSYNC). Throws SysError.
void load_own_filter();

}  // namespace agentrun::egress
