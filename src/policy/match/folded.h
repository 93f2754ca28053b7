// The rules that guard files, for file systems that take several spellings for one name.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <agentrun/policy/objects.h>

#include "policy/compile/draft.h"

namespace agentrun::policy {

struct FoldedRules::Data {
  Matcher matcher;
  std::vector<const Rule*> rules;  // by the matcher's number
  bool denies_reads = false;
};

/// Of the patterns of files.deny, protect and keep. `by_rank`: as the policy's own matcher numbers them.
FoldedRules fold_rules(std::span<const Draft::Bound> bound, std::span<const std::uint32_t> by_rank,
                       std::span<const Rule> rules);

}  // namespace agentrun::policy
