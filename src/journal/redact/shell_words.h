// A shell string, cut into words where bash(1) cuts it, for redaction. Pure; nothing is expanded.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// A part of a word. Of `$(ls)`, `${X:-y}`, `<(ls)` and backquotes `text` is itself a shell string, between `open` and
/// `close`.
struct ShellPiece {
  enum class Kind { literal, script };
  Kind kind = Kind::literal;
  std::string open, text, close;
  std::string parameter;  ///< X of `${X:-y}`, else empty
};

struct ShellWord {
  /// here_document: the lines of one. A word of an operator's (`>file`) is redirected; that of `<<<` is a here_string.
  enum class Role { word, redirected, here_string, here_document, comment };
  std::size_t begin = 0, end = 0;  ///< in the source
  unsigned command = 0;            ///< words of equal numbers are of one simple command
  Role role = Role::word;
  std::vector<ShellPiece> pieces;  ///< quotes and backslashes taken off

  [[nodiscard]] std::string text() const;
};

struct ShellWords {
  std::vector<ShellWord> words;
  /// Nothing was left open and nothing closed that was not open. Where it is false, bash may have cut elsewhere.
  bool sound = true;
};

ShellWords cut_shell_words(std::string_view source);

}  // namespace agentrun::journal
