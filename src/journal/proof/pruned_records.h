// What is left of a pruned journal: `hashes`, and in `kept` the records that the chain of keys needs, each as "number
// SP record".
#pragma once

#include <agentrun/journal.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace agentrun::journal {

/// The kept records by number; nullopt when the journal was not pruned: it has no such file, or still its first
/// segment. A malformed file has no records.
std::optional<std::map<std::uint64_t, std::string>> read_pruned(const Fd& directory);
/// The leaf hashes in `hashes`, in order, `limit` at most.
void each_kept_hash(const Fd& directory, std::uint64_t limit, const std::function<void(const Hash&)>& each);

}  // namespace agentrun::journal
