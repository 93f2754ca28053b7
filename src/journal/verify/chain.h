// Which key signed what: rules V1 and V2 for the checkpoints, V6 for those that others have seen.
#pragma once

#include <agentrun/journal.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "journal/verify/evidence.h"

namespace agentrun::journal {

/// A checkpoint whose signatures hold.
struct Head {
  Checkpoint checkpoint;
  std::string where;
};

/// What one pass over the records found at the sizes that it was asked about.
struct Milestone {
  Hash root{};
  std::string announced;  // the vkey of a key.rotate that is the last record of this size; else empty
};
using Milestones = std::map<std::uint64_t, Milestone>;  // the asked sizes; what is beyond the records is taken out

struct Chain {
  std::vector<Head> heads;          // sorted by size
  std::vector<Key> keys;            // of the epochs, as far as they are known
  std::vector<std::uint64_t> ends;  // sizes at which epochs were closed by their keys
  bool closed = false;              // the last of them by the identity too: the journal is closed
};

/// Follows the keys from epoch to epoch.
Chain follow(const Authority& authority, const Evidence& evidence, const Milestones& milestones, Findings& findings);

}  // namespace agentrun::journal
