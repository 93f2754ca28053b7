// SHA-256 hashes and the Merkle tree of a journal. Format: RFC 6962 §2.1.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::journal {

using Hash = std::array<std::uint8_t, 32>;
Hash sha256(std::string_view bytes) noexcept;
/// Hashes the whole regular file, by pread(2). Returns nullopt and sets errno when it cannot be read.
std::optional<Hash> sha256_file(const Fd& file) noexcept;
std::string hex(std::span<const std::uint8_t> bytes);     // lower case
std::string base64(std::span<const std::uint8_t> bytes);  // RFC 4648 §4, with padding

Hash leaf_hash(std::string_view data) noexcept;
Hash node_hash(const Hash& left, const Hash& right) noexcept;

/// The tree head of a growing list. Takes O(log n) memory.
class Tree {
 public:
  void add(const Hash& leaf);
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Hash root() const noexcept;  // MTH({}) for the empty list
  /// The heads of the perfect subtrees that make up the list, largest first: one for each bit set in its size.
  [[nodiscard]] std::span<const Hash> peaks() const noexcept { return peaks_; }
  /// Continues from `peaks`. Returns false and changes nothing when their number does not fit `size`.
  bool restore(std::uint64_t size, std::vector<Hash> peaks);

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> peaks_;
};

}  // namespace agentrun::journal
