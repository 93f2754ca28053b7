// Who may come at the names in a directory: its mode, owner and access control lists.
#pragma once

#include "broker/broker_context.h"
#include "broker/calls/call.h"

namespace agentrun::broker {

/// Denies an allowed chmod, chown, setxattr or removexattr of a directory of the view that holds something guarded, if
/// it takes the right to list or search the directory from its owner, lets somebody else write there, or changes owner,
/// group or access control lists. The guarded name is then what the call stands for. A change that lets others write is
/// also denied of a directory of before the run that is on the way to a guarded name. The caller holds the tree lock.
/// 0, or an errno: nothing was decided, the call fails by itself.
[[nodiscard]] int judge_access(const Receiver& rx, Call& c, const Object& object);

}  // namespace agentrun::broker
