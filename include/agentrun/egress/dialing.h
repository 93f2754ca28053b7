// What egress does not dial although a rule allows the connection, and what it cannot bind, for who explains a policy.
#pragma once

#include <string>
#include <string_view>

#include <agentrun/policy.h>

namespace agentrun::egress {

/// Why egress would not dial the raw address `to` for `program` (may be empty) when the policy lets it be connected to,
/// as the denial of a run says it: "10.0.0.5 (private)"; empty: it would. `remedy` is the change of a profile that
/// would do, where there is one. Looks at the addresses that this host has now. Throws SysError. Not for loopback,
/// which never leaves the sandbox.
struct NotDialed {
  std::string why, remedy;
};
NotDialed why_not_dialed(const policy::Policy& policy, const policy::Destination& to, std::string_view program);

/// Throws Refusal when a port of network.publish cannot be bound by this user on this host, whatever else uses it: a
/// port below net.ipv4.ip_unprivileged_port_start, an address that is not the host's. Binds each for a moment, without
/// listening.
void require_bindable(const policy::Policy& policy);

}  // namespace agentrun::egress
