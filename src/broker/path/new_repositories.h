// What git would execute in repositories that the command made or changed, looked at when it has ended and can change
// nothing more.
#pragma once

#include <utility>
#include <vector>

#include <agentrun/policy/objects.h>
#include <agentrun/sys/file_tree.h>
#include "broker/traces.h"

namespace agentrun::broker {

struct Noted {
  Traces::Found found;
  const Traces::Touched& touched;
  const policy::ProtectedObjects& before;  // which repositories stood before the run; empty: not known
};

/// What of `noted` is to be reported, those first in which git would execute something: without linked worktrees
/// (git-worktree(1)) of repositories that stood before, whose settings are not the command's own; a Trace::executes for
/// each new repository in which settings name programs or hooks are; a Trace::changed for each other one of which the
/// command made or changed a part, and for each new worktree in which relative names of settings lead to other programs
/// than in the repository's own. Bounded.
std::vector<std::pair<Trace, std::string>> examined(const Noted& noted, Tree& tree);

}  // namespace agentrun::broker
