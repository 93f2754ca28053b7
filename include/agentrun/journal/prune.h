// Removes the records of old journals and leaves what proves them.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace agentrun::journal {

inline constexpr unsigned retention_days = 200;  // the minimum (EU AI Act, Art. 19 and 26: six months)

struct Pruned {
  std::string id;
  std::uint64_t records = 0, bytes = 0;
  std::string failure;  // not pruned, or not wholly: why; empty: it was
};
/// Removes the records of runs whose journal.close is older than `days` and whose journal verifies as COMPLETE under
/// the key of this state directory. Leaves the certificate, the checkpoints, the hashes, and in the file `kept` the
/// records that the chain of keys needs. The index records it before anything is removed. With `try_only` nothing is
/// changed. A run that fails stops no other run: its entry has a `failure`. Throws SysError or Refusal for what
/// concerns all runs; Refusal when `days` is less than retention_days.
enum class Prune : std::uint8_t { try_only, remove };
std::vector<Pruned> prune(const std::filesystem::path& state_directory, unsigned days, Prune how);

}  // namespace agentrun::journal
