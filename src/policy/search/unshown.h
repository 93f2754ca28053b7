// The rules about names of the host that the view does not show, or does not let be changed, made from a draft.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <agentrun/policy/objects.h>

#include "policy/compile/draft.h"

namespace agentrun::policy {

struct UnshownRules::Data {
  Matcher matcher;                 // one layer
  std::vector<const Rule*> rules;  // by the matcher's number
  std::vector<std::string> beginnings;
};

/// Of Draft::unshown. `by_rank`: as the policy's own matcher numbers rules.
UnshownRules unshown_rules(std::span<const Draft::Bound> unshown, std::span<const std::uint32_t> by_rank,
                           std::span<const Rule> rules);

/// Binds the pattern as one of the host's names, unless it lies where the agent may change things (for files.deny: in
/// what is shown), where other searches see it, or says too little of where its names are (a `**` before others).
void add_unshown(Draft& draft, const PathPattern& pattern, Layer layer, std::size_t rule);

}  // namespace agentrun::policy
