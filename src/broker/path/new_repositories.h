// Finds what git would execute in repositories that the command made or changed. Runs after the command has ended and
// can change nothing more.
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
  const policy::ProtectedObjects& before;  // repositories that existed before the run; empty: unknown
};

/// Selects the traces of `noted` to report; those in which git would execute something come first. Leaves out linked
/// worktrees (git-worktree(1)) of repositories that existed before, whose settings are not the command's own. Adds a
/// Trace::executes for each new repository that has hooks, or settings that name programs. Adds a Trace::changed for
/// each other repository in which the command made or changed a part, and for each new worktree in which relative names
/// in settings lead to other programs than in the repository's own. Bounded.
std::vector<std::pair<Trace, std::string>> examined(const Noted& noted, Tree& tree);

}  // namespace agentrun::broker
