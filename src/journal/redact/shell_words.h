// Splits a shell string into words where bash(1) does, for redaction. Pure; it expands nothing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// A part of a word. For `$(ls)`, `${X:-y}`, `<(ls)` and backquotes, `text` is itself a shell string, between `open`
/// and `close`.
struct ShellPiece {
  enum class Kind { literal, script };
  Kind kind = Kind::literal;
  std::string open, text, close;
  std::string parameter;  ///< X of `${X:-y}`, else empty
};

struct ShellWord {
  /// here_document: its lines. redirected: the word after an operator (`>file`). here_string: the word after `<<<`.
  enum class Role { word, redirected, here_string, here_document, comment };
  std::size_t begin = 0, end = 0;  ///< in the source
  unsigned command = 0;            ///< words with the same number belong to one simple command
  Role role = Role::word;
  std::vector<ShellPiece> pieces;  ///< without quotes and backslashes

  [[nodiscard]] std::string text() const;
};

struct ShellWords {
  std::vector<ShellWord> words;
  /// False when something was left open, or closed without being open: bash may split the string elsewhere.
  bool sound = true;
};

ShellWords cut_shell_words(std::string_view source);

}  // namespace agentrun::journal
