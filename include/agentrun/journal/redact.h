// journal.redact: words of command lines that must not be recorded.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/glob.h>

namespace agentrun::journal {

/// Replaces words by "hmac:" and 16 hex digits of HMAC-SHA256 (RFC 2104) with a salt of the run. The same word gives
/// the same digits within a run. Nobody can try out words, because the salt is never written. Immutable; threads may
/// share it.
class Redactor {
 public:
  Redactor() = default;  // replaces nothing
  /// `globs`: in Glob::Syntax::words, ignoring ASCII case, for a word or the name before its '='. Makes a salt; throws
  /// SysError.
  explicit Redactor(const std::vector<std::string>& globs);

  /// Replaces a word that matches; the value in NAME=VALUE (or NAME:VALUE) if the name matches and looks like an option
  /// or an identifier; and the word after an option whose name matches (`--token VALUE`). A word that contains several,
  /// as after `sh -c`, is split as bash does, and each part is treated in the same way. In doubt it replaces more, not
  /// less. Returns the number of replacements. The time is bounded: it replaces unread what is nested deeper than 8
  /// levels, or takes more than 16 readings of the whole.
  std::size_t apply(std::vector<std::string>& words) const;
  [[nodiscard]] bool empty() const noexcept { return globs_.empty(); }

 private:
  class Pass;
  [[nodiscard]] bool matches(std::string_view text) const noexcept;
  [[nodiscard]] std::string digest(std::string_view text) const;

  std::vector<Glob> globs_;
  std::array<std::uint8_t, 32> salt_{};
};

}  // namespace agentrun::journal
