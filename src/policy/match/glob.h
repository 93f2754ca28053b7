// A pattern for one component of a path, or for a name: `*`, `?`, `[…]`. Bytes, not characters; a leading dot is a byte
// as any other.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::policy {

/// Where the class that opens at `open` ('[') ends: the index behind its ']', or npos.
std::size_t class_end(std::string_view text, std::size_t open) noexcept;

class Glob {
 public:
  /// What is wrong with `source`, as a message; nullopt when it is well formed.
  static std::optional<std::string> fault(std::string_view source);
  /// The only text that `source` matches, when there is only one: "a", "a[*]".
  static std::optional<std::string> literal(std::string_view source);

  /// `source` must be well formed.
  explicit Glob(std::string_view source);
  [[nodiscard]] bool matches(std::string_view name) const noexcept;
  /// The bytes with which every match begins and ends; their sizes never overlap in a match.
  [[nodiscard]] const std::string& prefix() const noexcept { return prefix_; }
  [[nodiscard]] const std::string& suffix() const noexcept { return suffix_; }

 private:
  enum class Kind : std::uint8_t { byte, any_byte, any_bytes, set };
  struct Token {
    Kind kind;
    unsigned char byte = 0;
    std::uint32_t set = 0;  // index into sets_
  };
  [[nodiscard]] bool takes(const Token& token, unsigned char byte) const noexcept;
  void find_affixes();

  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> sets_;
  std::string prefix_, suffix_;
};

}  // namespace agentrun::policy
