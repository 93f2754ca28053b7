// What a policy asks for and this host, or the weakened sandbox, cannot enforce. Each throws Refusal.
#pragma once

#include <agentrun/policy.h>
#include <agentrun/sandbox.h>

namespace agentrun::supervisor {

/// limits.core where core files would be written by nobody or handed to a program of the host.
void refuse_core_files(const policy::Policy& policy);
/// floor-only with network or sockets: the broker announces connections that leave, and tells sockets apart.
void refuse_network_without_broker(const policy::Policy& policy);
/// How the limits are enforced on this host. What cannot be enforced whole is refused, unless weaken: [limits] says
/// that less will do.
sandbox::LimitsPlan limits_of(const policy::Policy& policy);

}  // namespace agentrun::supervisor
