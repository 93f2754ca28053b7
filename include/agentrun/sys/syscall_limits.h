// What a process of ours sheds that speaks with the network: the same for egress and for sinks.
#pragma once

#include <initializer_list>

namespace agentrun {

/// No capability, and none to be gained; not dumpable; dies with its parent. Throws SysError.
void shed_capabilities();

/// Landlock, where the kernel has it: reads what name services need and what is below `folders` (descriptors), changes
/// no file; sends no signals. Throws SysError.
void enter_landlock(std::initializer_list<int> folders = {});

/// Loads the modules that nsswitch.conf(5) names for hosts, as no code can be loaded later. One that is not there is
/// not there for anybody.
void load_name_services();

}  // namespace agentrun
