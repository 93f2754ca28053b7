// Proofs that stand alone: a record and the few hashes that lead from it to a signed head (C2SP tlog-proof, RFC 6962
// §2.1.1 and §2.1.2), and the whole tree as tiles (C2SP tlog-tiles), for tools that know nothing of agent-run.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// RFC 6962 §2.1.1, §2.1.2, over leaf hashes. `index` < leaves; 0 < `old_size` <= leaves (else empty).
std::vector<Hash> inclusion_path(std::span<const Hash> leaves, std::uint64_t index);
std::vector<Hash> consistency_path(std::span<const Hash> leaves, std::uint64_t old_size);
/// RFC 9162 §2.1.3.2, §2.1.4.2. They believe nothing about the size of a path.
bool includes(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> path, const Hash& root);
bool is_consistent(std::uint64_t old_size, const Hash& old_root, std::uint64_t size, const Hash& root,
                   std::span<const Hash> path);

/// A tlog-proof of record `index` under the closing checkpoint. Its `extra` line holds the record itself. Throws
/// Refusal when there is no such record, when the journal is not closed, and when the records do not lead to what was
/// signed.
std::string prove(const std::filesystem::path& run_directory, std::uint64_t index);
/// That the closing checkpoint continues the tree of its first `old_size` records, in the form that witnesses take
/// (tlog-witness, add-checkpoint): "old N", hashes, an empty line, the checkpoint.
std::string prove_consistency(const std::filesystem::path& run_directory, std::uint64_t old_size);

struct Proven {
  std::string origin;
  std::uint64_t index = 0, size = 0;  // of a consistency proof `index` is the old size
  std::string record;                 // empty for a consistency proof
};
/// Checks either kind with public data only. `trusted`: vkeys of identities. `old`: for a consistency proof, the
/// checkpoint that it begins with. Throws Refusal with the reason why it does not hold.
Proven check_proof(std::string_view proof, std::span<const std::string> trusted, std::span<const Anchor> old = {});

/// Writes checkpoint, tile/ and tile/entries/ of a closed journal into a folder that does not exist yet. Throws
/// SysError, and Refusal as prove() does.
void export_tiles(const std::filesystem::path& run_directory, const std::filesystem::path& target);

}  // namespace agentrun::journal
