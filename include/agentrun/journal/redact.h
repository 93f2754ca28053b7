// journal.redact: words of command lines that must not stand in a journal.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/glob.h>

namespace agentrun::journal {

/// Replaces words by "hmac:" and 16 hex digits of HMAC-SHA256 (RFC 2104) under a salt of the run: the same word gives
/// the same digits within a run, and nobody can try words out, since the salt is never written. Immutable; shared by
/// threads.
class Redactor {
 public:
  Redactor() = default;  // replaces nothing
  /// `globs`: in Glob::Syntax::words, without regard to case, over a word or the name in front of its '='. Makes a
  /// salt.
  explicit Redactor(const std::vector<std::string>& globs);

  /// A word that matches is replaced; of NAME=VALUE (or NAME:VALUE) whose name matches and looks like an option or an
  /// identifier, the value; after an option whose name matches (`--token VALUE`), the next word. A word that holds
  /// several, as that after `sh -c`, is cut as bash cuts it, and the same is done to each. In doubt more is replaced,
  /// not less. Gives how many were. The time is bounded: what is nested deeper than 8, or takes more than 16 readings
  /// of the whole, is replaced unread.
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
