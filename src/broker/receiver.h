// One notification in, one reply out: judged on the copy, recorded, performed.
#pragma once

#include <linux/seccomp.h>

#include "broker/broker_context.h"

namespace agentrun::broker {

/// The reply to a call whose arguments are copied: what its operation's function makes of it.
Reply answer_operation(Receiver& rx, Call& c);

/// Handles one notification to its end: the reply has been sent, or a worker will send it, or the target is gone.
/// Whatever goes wrong on the way ends in an errno.
void handle(Receiver& rx, const seccomp_notif& notification) noexcept;

}  // namespace agentrun::broker
