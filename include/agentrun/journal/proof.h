// Self-contained proofs for other tools: a record and the hashes that lead from it to a signed head (C2SP tlog-proof,
// RFC 6962 §2.1.1 and §2.1.2), and the whole tree as tiles (C2SP tlog-tiles).
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

/// RFC 6962 §2.1.1, §2.1.2, over leaf hashes. `index` < leaves; 0 < `old_size` <= leaves (otherwise empty).
std::vector<Hash> inclusion_path(std::span<const Hash> leaves, std::uint64_t index);
std::vector<Hash> consistency_path(std::span<const Hash> leaves, std::uint64_t old_size);
/// RFC 9162 §2.1.3.2, §2.1.4.2. A path of any size is safe.
bool includes(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> path, const Hash& root);
bool is_consistent(std::uint64_t old_size, const Hash& old_root, std::uint64_t size, const Hash& root,
                   std::span<const Hash> path);

/// A tlog-proof of record `index` under the closing checkpoint, with the record in its `extra` line. Throws SysError,
/// and Refusal when there is no such record, the journal is not closed, or the records do not lead to the signed root.
std::string prove(const std::filesystem::path& run_directory, std::uint64_t index);
/// A proof that the closing checkpoint is consistent with the tree of its first `old_size` records, in the form of
/// add-checkpoint in C2SP tlog-witness: "old N", hashes, an empty line, the checkpoint. Throws as prove().
std::string prove_consistency(const std::filesystem::path& run_directory, std::uint64_t old_size);

struct Proven {
  std::string origin;
  std::uint64_t index = 0, size = 0;  // consistency proof: `index` is the old size
  std::string record;                 // consistency proof: empty
};
/// Checks either kind of proof with public data alone. `trusted`: vkeys of identities. `old`: for a consistency proof,
/// the old checkpoint. Throws Refusal, with the reason, for an invalid proof.
Proven check_proof(std::string_view proof, std::span<const std::string> trusted, std::span<const Anchor> old = {});

/// Writes checkpoint, tile/ and tile/entries/ of a closed journal into a new directory. Throws as prove().
void export_tiles(const std::filesystem::path& run_directory, const std::filesystem::path& target);

}  // namespace agentrun::journal
