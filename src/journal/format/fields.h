// Top-level members of a canonical JSON object, without building a document.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

struct Member {
  std::string_view key;    // as written
  std::string_view value;  // as written, quotes included
};

class Members {
 public:
  /// `line` without LF.
  explicit Members(std::string_view line) noexcept;
  /// The members from `rest` on, which begins with a key and extends to the end of the line.
  static Members from(std::string_view rest) noexcept;
  /// False at the end of the object, and where the line is malformed.
  bool next(Member& member) noexcept;
  /// True when next() reached the end of the object and of the line.
  [[nodiscard]] bool complete() const noexcept { return rest_ == "}"; }

 private:
  Members() noexcept = default;
  std::string_view rest_;
  bool first_ = true;
};

/// Decodes a canonical JSON string, with its quotes; nullopt on anything else.
std::optional<std::string> unquote(std::string_view value);
/// Decodes an integer, also in quotes: number() and word() of Record write large ones so.
std::optional<std::int64_t> integer(std::string_view value) noexcept;

}  // namespace agentrun::journal
