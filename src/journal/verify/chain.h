// The chain of epoch keys: which key signed which checkpoint (rules V1 and V2).
#pragma once

#include <agentrun/journal.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "journal/verify/evidence.h"

namespace agentrun::journal {

/// A checkpoint with valid signatures.
struct Head {
  Checkpoint checkpoint;
  std::string where;
};

/// What one pass over the records found at a size of interest.
struct Milestone {
  Hash root{};
  std::string announced;  // the vkey, if the last record of this size is a key.rotate
};
using Milestones = std::map<std::uint64_t, Milestone>;  // by size; sizes beyond the end are removed

struct Chain {
  std::vector<Head> heads;          // sorted by size
  std::vector<Key> keys;            // the known keys of epochs
  std::vector<std::uint64_t> ends;  // the sizes at which epochs were closed
  bool closed = false;              // the identity signed the last of them too: the journal is closed
};

/// Follows the keys from epoch to epoch.
Chain follow(const Authority& authority, const Evidence& evidence, const Milestones& milestones, Findings& findings);

}  // namespace agentrun::journal
