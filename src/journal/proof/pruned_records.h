// What is left of a pruned journal: `hashes`, and the file `kept` with the records that the chain of keys needs, each
// as "number SP record".
#pragma once

#include <agentrun/journal.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace agentrun::journal {

/// The records in `kept`, by number; none if the file is malformed. nullopt when the journal was not pruned: the file
/// is absent, or the first segment is present.
std::optional<std::map<std::uint64_t, std::string>> read_pruned(const Fd& directory);
/// Passes the leaf hashes in `hashes` to `each`, in order, at most `limit`.
void each_stored_hash(const Fd& directory, std::uint64_t limit, const std::function<void(const Hash&)>& each);

}  // namespace agentrun::journal
