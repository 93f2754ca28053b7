// fcntl with F_SETLEASE.
#pragma once

#include "broker/broker_context.h"
#include "broker/calls/permit.h"

namespace agentrun::broker {

Reply answer_lease(Receiver& rx, Call& c);
/// Returns 0 or an errno. `taken`: the caller's open file. `caller` gets the signal.
int perform_lease(const Permit& permit, const Fd& taken, int lease, pid_t caller);

}  // namespace agentrun::broker
