// What egress sheds before it reads the first byte of the agent's.
#pragma once

namespace agentrun::egress {

/// Own session; signals of the terminal ignored; not dumpable; no core file; as many descriptors as there may be; no
/// environment. Throws SysError.
void stand_alone();

/// No capability, and none to be gained. Throws SysError.
void shed_capabilities();

/// Landlock, where the kernel has it: reads what name services need, changes no file; sends no signals. Throws SysError.
void enter_landlock();

/// Loads the modules that nsswitch.conf(5) names for hosts, as no code can be loaded later. One that is not there is not
/// there for anybody.
void load_name_services();

/// Loads egress's own allow list into every thread of the process (TSYNC). Throws SysError.
void load_own_filter();

}  // namespace agentrun::egress
