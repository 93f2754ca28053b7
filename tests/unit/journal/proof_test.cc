#include <agentrun/journal/proof.h>

#include "epochs.h"

using namespace agentrun;
using namespace agentrun::journal;
using namespace journal_test;

namespace {

std::vector<Hash> some_leaves(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_hash("leaf " + std::to_string(i)));
  return leaves;
}
Hash head_of(std::span<const Hash> leaves) {
  Tree tree;
  for (const Hash& leaf : leaves) tree.add(leaf);
  return tree.root();
}
std::string refusal_of(auto&& act) {
  try {
    act();
  } catch (const Refusal& refusal) {
    return refusal.what();
  }
  return "";
}

}  // namespace

TEST_CASE("proofs hold for every leaf of every small tree, and for nothing else") {
  for (std::size_t size = 1; size <= 40; ++size) {
    const auto leaves = some_leaves(size);
    const Hash root = head_of(leaves);
    for (std::size_t index = 0; index < size; ++index) {
      const auto path = inclusion_path(leaves, index);
      REQUIRE(includes(leaves[index], index, size, path, root));
      for (std::size_t other = 0; other <= size; ++other)
        REQUIRE((other == index || !includes(leaves[index], other, size, path, root)));
      REQUIRE_FALSE(includes(leaves[(index + 1) % (size + 1) % size], index, size, path, node_hash(root, root)));
      REQUIRE_FALSE(includes(leaf_hash("x"), index, size, path, root));
      auto longer = path;
      longer.push_back(root);
      REQUIRE_FALSE(includes(leaves[index], index, size, longer, root));
      if (path.empty()) continue;
      auto shorter = path;
      shorter.pop_back();
      REQUIRE_FALSE(includes(leaves[index], index, size, shorter, root));
      for (std::size_t i = 0; i < path.size(); ++i) {
        auto altered = path;
        altered[i][7] ^= 1;
        REQUIRE_FALSE(includes(leaves[index], index, size, altered, root));
      }
    }
  }
}

TEST_CASE("every small tree continues every smaller one, and no other") {
  for (std::size_t size = 1; size <= 40; ++size) {
    const auto leaves = some_leaves(size);
    const Hash root = head_of(leaves);
    for (std::size_t old = 0; old <= size; ++old) {
      const Hash old_root = head_of(std::span(leaves).first(old));
      const auto path = consistency_path(leaves, old);
      REQUIRE(is_consistent(old, old_root, size, root, path));
      REQUIRE_FALSE(is_consistent(old, node_hash(root, root), size, root, path));
      if (old == 0 || old == size) continue;
      REQUIRE_FALSE(is_consistent(old, old_root, size, node_hash(root, root), path));
      REQUIRE_FALSE(is_consistent(size, root, old, old_root, path));
      auto longer = path;
      longer.push_back(root);
      REQUIRE_FALSE(is_consistent(old, old_root, size, root, longer));
      for (std::size_t i = 0; i < path.size(); ++i) {
        auto altered = path;
        altered[i][3] ^= 1;
        REQUIRE_FALSE(is_consistent(old, old_root, size, root, altered));
      }
    }
  }
}

TEST_CASE("proofs of a journal hold by its identity's key alone, with and without kept hashes") {
  Epochs journal({.epoch_records = 20});
  journal.fill(50);
  CHECK(refusal_of([&] { (void)prove(journal.run.directory(), 1); }).find("not closed") != std::string::npos);
  const std::string early = slurp(journal.file("checkpoint"));
  journal.fill(30);
  journal.finish();
  const std::uint64_t size = journal.run.size();
  const std::string proof = prove(journal.run.directory(), 17);
  const Proven proven = check_proof(proof, journal.trusted);
  CHECK(proven.index == 17);
  CHECK(proven.size == size);
  CHECK(proven.origin == journal.run.origin());
  CHECK(text_field(proven.record, "type").has_value());
  const std::uint64_t old = sizes_of(early).at(0);
  const std::string growth = prove_consistency(journal.run.directory(), old);
  const std::vector<Anchor> seen{{.where = "early", .origin = {}, .note = early, .head = {}, .first_key = {}}};
  CHECK(check_proof(growth, journal.trusted, seen).size == size);
  std::filesystem::remove(journal.file("hashes"));
  CHECK(prove(journal.run.directory(), 17) == proof);
  CHECK(prove_consistency(journal.run.directory(), old) == growth);
  CHECK_FALSE(refusal_of([&] { (void)prove(journal.run.directory(), size); }).empty());
  const std::vector<std::string> stranger{Key::generate("x").vkey()};
  CHECK(refusal_of([&] { (void)check_proof(proof, stranger); }).find("not trusted") != std::string::npos);
  CHECK(refusal_of([&] { (void)check_proof(growth, journal.trusted); }).find("requires the checkpoint") !=
        std::string::npos);
  std::string entries = slurp(journal.entries());
  entries[entries.find("/work/file")] = 'X';
  spill(journal.entries(), entries);
  CHECK(refusal_of([&] { (void)prove(journal.run.directory(), 17); }).find("do not lead") != std::string::npos);
}

TEST_CASE("every altered byte of a proof is found") {
  Journal journal;
  journal.complete(6);
  const std::string proof = prove(journal.run.directory(), 3);
  for (std::size_t at = 0; at < proof.size(); ++at) {
    std::string altered = proof;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    // The signature of the epoch's key is of no account here: who checks the proof does not know that key.
    const std::size_t epoch_signature = proof.find("/e0 ");
    if (at >= proof.rfind('\n', epoch_signature) && at <= proof.find('\n', epoch_signature)) continue;
    CAPTURE(at);
    CHECK_FALSE(refusal_of([&] { (void)check_proof(altered, journal.trusted); }).empty());
  }
}

TEST_CASE("tiles: names, widths and bundles") {
  Journal journal;
  journal.complete(600);
  const auto target = journal.scratch.path() / "tiles";
  export_tiles(journal.run.directory(), target);
  CHECK(std::filesystem::file_size(target / "tile/0/000") == 256 * 32);
  CHECK(std::filesystem::file_size(target / "tile/0/001") == 256 * 32);
  CHECK(std::filesystem::file_size(target / "tile/0/002.p/90") == 90 * 32);
  CHECK(std::filesystem::file_size(target / "tile/1/000.p/2") == 2 * 32);
  CHECK(std::filesystem::exists(target / "tile/entries/002.p/90"));
  CHECK(slurp(target / "checkpoint") == slurp(journal.file("checkpoint")));
  CHECK(slurp(target / "tile/0/000") + slurp(target / "tile/0/001") + slurp(target / "tile/0/002.p/90") ==
        slurp(journal.file("hashes")));
  CHECK_THROWS_AS(export_tiles(journal.run.directory(), target), SysError);
}
