// What a service sheds before it serves: capabilities (the broker, egress, sinks); files (egress, sinks).
#pragma once

#include <initializer_list>
#include <optional>

namespace agentrun {

/// No capability, and none to be gained; not dumpable; dies with its parent. `permitted` (CAP_*) stays permitted,
/// though not effective: then the bounding set is emptied and the securebits are locked too, which takes CAP_SETPCAP
/// (capabilities(7)). Throws SysError.
void shed_capabilities(std::optional<unsigned> permitted = std::nullopt);

/// Landlock, where the kernel has it: reads what name services need and what is below `folders` (descriptors), changes
/// no file; sends no signals. Throws SysError.
void enter_landlock(std::initializer_list<int> folders = {});

/// Loads the modules that nsswitch.conf(5) names for hosts, as no code can be loaded later. One that is not there is
/// not there for anybody.
void load_name_services();

}  // namespace agentrun
