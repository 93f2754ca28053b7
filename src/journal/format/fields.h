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
  /// The members from `rest` on, which begins with the key of one and goes to the end of the line.
  static Members from(std::string_view rest) noexcept;
  /// False at the end of the object and where the line stops being one.
  bool next(Member& member) noexcept;
  /// True when next() was false at the end of the object, which is also that of the line.
  [[nodiscard]] bool complete() const noexcept { return rest_ == "}"; }

 private:
  Members() noexcept = default;
  std::string_view rest_;
  bool first_ = true;
};

/// The string that `value` writes; nullopt when it is not a canonical one.
std::optional<std::string> unquote(std::string_view value);
/// An integer, also one in quotes (number() and word() write large ones so).
std::optional<std::int64_t> integer(std::string_view value) noexcept;

}  // namespace agentrun::journal
