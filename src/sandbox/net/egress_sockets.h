// What the sandbox's network namespace has beside loopback when something may leave it: addresses and routes on lo, so
// that packets come to be that the ruleset can send to the relay, and the sockets that egress serves (egress.h).
#pragma once

#include <agentrun/egress.h>
#include <agentrun/sys/fd.h>

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::sandbox {

/// Own addresses and default routes of both families. Without IPv6 on this host: IPv4 alone. Throws SysError.
void make_egress_interfaces();

/// Binds them; the caller has CAP_NET_BIND_SERVICE and CAP_NET_ADMIN in the network namespace. Throws SysError.
egress::Sockets make_egress_sockets();

/// They travel as one word: which of them there are, and their descriptors in that order.
struct PackedSockets {
  std::string which;
  std::vector<int> fds;  // borrowed
};
PackedSockets pack(const egress::Sockets& sockets);
/// Throws SysError when the word is not whole.
egress::Sockets unpack_sockets(std::string_view which, std::vector<Fd> fds);

}  // namespace agentrun::sandbox
