// bind of a unix socket to a path.
#pragma once

#include <sys/un.h>

#include "broker/broker_context.h"
#include "broker/calls/permit.h"
#include "broker/net/socket.h"

namespace agentrun::broker {

Reply answer_bind(Receiver& rx, Call& c);
/// Binds the socket, and remembers the new file as the agent's own. Returns 0 or an errno.
int perform_bind(const Permit& permit, Receiver& rx, const Call& c, const AgentSocket& socket,
                 const ParentAndName& target, const Fd& directory, const sockaddr_un& address, socklen_t size);

}  // namespace agentrun::broker
