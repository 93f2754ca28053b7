// A pattern over the arguments of a program: one glob a word, `**` for any number of words.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <agentrun/sys/glob.h>

namespace agentrun::policy {

class ArgumentsPattern {
 public:
  enum class Match : std::uint8_t { no, maybe, yes };

  /// Every word must be a well-formed glob.
  explicit ArgumentsPattern(const std::vector<std::string>& words);

  /// `words` are the arguments without the program's name. When they are not `complete`, at least one more follows, and
  /// the answer may be `maybe`.
  [[nodiscard]] Match match(std::span<const std::string> words, bool complete) const;

 private:
  std::vector<std::optional<Glob>> words_;  // nullopt: `**`
};

}  // namespace agentrun::policy
