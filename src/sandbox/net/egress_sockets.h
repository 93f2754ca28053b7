// What the sandbox's network namespace has beside loopback when something may leave it: addresses and routes on lo, so
// that packets come to be that the ruleset can send to the relay, and the sockets that egress serves (egress.h).
#pragma once

#include <agentrun/egress.h>
#include <agentrun/sys/wire.h>

namespace agentrun::sandbox {

/// Own addresses and default routes of both families. Without IPv6 on this host: IPv4 alone. Throws SysError.
void make_egress_interfaces();

/// Binds them; the caller has CAP_NET_BIND_SERVICE and CAP_NET_ADMIN in the network namespace. Throws SysError.
egress::Sockets make_egress_sockets();

/// Appends which of them there are, and their descriptors (borrowed). Throws SysError.
void write_sockets(WireWriter& message, const egress::Sockets& sockets);
/// The inverse, to the end of the message. Throws SysError (EPROTO) for what write_sockets() does not make.
egress::Sockets read_sockets(WireReader reader);

}  // namespace agentrun::sandbox
