// What a compiled policy has to know of the host's links, hard links and mounts before the run starts.
#pragma once

#include <span>

#include "policy/compile/draft.h"
#include "policy/policy_data.h"

namespace agentrun::policy {

/// Of the host's mounts, those that give what the view shows another name.
MountNames mounts_of(const HostFacts& facts, std::span<const Shown> view);

/// Searches the host for what links and hard links at denied names lead to, and for other names in the view of what the
/// view does not show. What was found denied is masked and, by whatever name it is read, denied by the broker. Throws
/// Refusal when not all links could be followed. `data`: of `policy`, which is searched by.
void add_found_objects(const Policy& policy, const HostFacts& facts, Policy::Data& data);

}  // namespace agentrun::policy
