// Restrictions of a service before it serves: capabilities (the broker, egress, sinks); files (egress, sinks).
#pragma once

#include <initializer_list>
#include <optional>

namespace agentrun {

/// Drops every capability for good, makes the process undumpable and makes it die with its parent. `permitted` (CAP_*)
/// stays permitted but not effective; in that case this also empties the bounding set and locks the securebits, which
/// needs CAP_SETPCAP (capabilities(7)). Throws SysError.
void shed_capabilities(std::optional<unsigned> permitted = std::nullopt);

/// Enters Landlock where the kernel has it. The process can then read only files of name services and below
/// `directories` (descriptors), change no file and send no signal. Throws SysError.
void enter_landlock(std::initializer_list<int> directories = {});

/// Loads the modules that nsswitch.conf(5) names for hosts, because no code can be loaded later. Ignores a missing
/// module, as the C library does.
void load_name_services();

}  // namespace agentrun
