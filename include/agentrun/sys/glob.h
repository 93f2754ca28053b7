// Globs: one name or word against one pattern. Bytes, not characters. A leading dot and a slash are ordinary bytes: a
// caller that matches paths by component splits them first. The time is bounded by the product of the lengths.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun {

class Glob {
 public:
  /// What a pattern is made of. `*` and `?` are always special.
  enum class Syntax : std::uint8_t {
    profile,  // also [a-z], [!a-z], [^a-z]. fault() refuses malformed patterns, so that no rule has an unintended
              // meaning
    words,    // nothing else: journal.redact, over command lines, in which brackets and backslashes are usual
    shell,  // as fnmatch(3) in the C locale: also \x and [:alpha:]. A [ without its ] is itself: filters of the journal
  };
  enum class Case : std::uint8_t { exact, folded };  // folded: of ASCII letters

  /// What is wrong with `source` in Syntax::profile, as a message; nullopt when it is well formed.
  static std::optional<std::string> fault(std::string_view source);
  /// The only text that `source` matches in Syntax::profile, when there is only one: "a", "a[*]".
  static std::optional<std::string> literal(std::string_view source);
  /// Where the class that opens at `open` ('[') ends in Syntax::profile: the index behind its ']', or npos.
  static std::size_t class_end(std::string_view text, std::size_t open) noexcept;

  /// In Syntax::profile `source` must be well formed.
  explicit Glob(std::string_view source, Syntax syntax = Syntax::profile, Case letters = Case::exact);
  [[nodiscard]] bool matches(std::string_view name) const noexcept;
  /// The bytes with which every match begins and ends (in lower case with Case::folded). They never overlap in a match.
  [[nodiscard]] const std::string& prefix() const noexcept { return prefix_; }
  [[nodiscard]] const std::string& suffix() const noexcept { return suffix_; }

 private:
  enum class Kind : std::uint8_t { byte, any_byte, any_bytes, set, never };
  struct Token {
    Kind kind;
    unsigned char byte = 0;
    std::uint32_t set = 0;  // index into sets_
  };
  using Bytes = std::bitset<256>;
  void add_byte(unsigned char byte);
  void add_set(const Bytes& bytes);
  std::size_t add_class(std::string_view source, std::size_t open);
  std::size_t add_shell_class(std::string_view source, std::size_t open);
  [[nodiscard]] bool takes(const Token& token, unsigned char byte) const noexcept;
  void find_affixes();

  std::vector<Token> tokens_;
  std::vector<Bytes> sets_;
  std::string prefix_, suffix_;
  Case letters_;
};

}  // namespace agentrun
