// What git would execute in repositories that the command made, looked at when it has ended and can change nothing more.
#pragma once

#include <agentrun/sys/tree.h>
#include "broker/traces.h"

namespace agentrun::broker {

/// The same traces without those of linked worktrees (git-worktree(1)) of repositories that stood before, whose settings are not the
/// command's own; and a Trace::executes for each repository in which settings name programs or hooks are. Bounded.
Traces::Found examined(const Traces::Found& found, Tree& tree);

}  // namespace agentrun::broker
