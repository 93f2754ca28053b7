// Replaces the words that journal.redact names, in command lines and in the shell strings inside them.
#include <agentrun/journal.h>
#include <agentrun/journal/redact.h>

#include <algorithm>
#include <set>
#include <utility>

#include "journal/format/random.h"
#include "journal/redact/shell_words.h"

namespace agentrun::journal {

namespace {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

Redactor::Redactor(const std::vector<std::string>& globs) {
  for (const std::string& glob : globs) globs_.emplace_back(glob, Glob::Syntax::words, Glob::Case::folded);
  fill_random(salt_);
}

bool Redactor::matches(std::string_view text) const noexcept {
  return std::ranges::any_of(globs_, [&](const Glob& glob) { return glob.matches(text); });
}

std::string Redactor::digest(std::string_view text) const {
  constexpr std::size_t block = 64;  // SHA-256's block size
  const auto pad = [&](char with) {
    std::string key(block, with);
    for (std::size_t i = 0; i < salt_.size(); ++i) key[i] = static_cast<char>(key[i] ^ static_cast<char>(salt_[i]));
    return key;
  };
  const Hash inner = sha256(pad(0x36).append(text));
  const Hash outer = sha256(pad(0x5c).append(reinterpret_cast<const char*>(inner.data()), inner.size()));
  return "hmac:" + hex(std::span(outer).first(8));
}

/// One pass over consecutive words.
class Redactor::Pass {
 public:
  /// State that all passes over one command line share.
  struct Shared {
    const Redactor& redactor;
    std::size_t budget;          // bytes that may still be read: a nested string is read once for each level
    std::set<std::string> made;  // digests, which are not matched again
  };

  Pass(Shared& shared, unsigned depth) : shared_(shared), depth_(depth) {}
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  void apply(std::string& word) {
    read(word);
    value_of_option_ |= std::exchange(ends_with_option_, false);
  }

 private:
  void read(std::string& word) {
    if (shared_.made.contains(word)) return;
    if (std::exchange(value_of_option_, false)) return replace(word);
    const std::size_t value = value_after_name(word);
    if (value != std::string::npos && !word.starts_with('=')) {
      std::string text = word.substr(value);
      replace(text);
      word.replace(value, std::string::npos, text);
    } else if (awaits_value(word)) {
      value_of_option_ = true;
    } else if (is_assignment(word)) {
      std::string text = word.substr(word.find('=') + 1);
      if (matches(word)) return replace(word);
      apply_inside(text);
      word.replace(word.find('=') + 1, std::string::npos, text);
    } else if (matches(word)) {
      replace(word);
    } else {
      apply_inside(word);
    }
  }

  static constexpr unsigned max_depth = 8;
  static constexpr std::string_view separators = " \t\n\r;|&()<>`";
  static constexpr std::string_view special = " \t\n\r;|&()<>`'\"\\$";

  [[nodiscard]] bool matches(std::string_view text) const noexcept { return shared_.redactor.matches(text); }

  static constexpr bool letter(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; }
  static constexpr bool of_name(char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; }

  /// `--token`, `-t`, `API_KEY`: a name that can precede '=' and a value.
  static bool is_name(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('-'), text.size()));
    return !text.empty() && letter(text[0]) && std::ranges::all_of(text, of_name);
  }

  /// `--token`, and the `Token:` of a header.
  [[nodiscard]] bool awaits_value(std::string_view word) const {
    if (word.ends_with(':'))
      return is_name(word.substr(0, word.size() - 1)) && matches(word.substr(0, word.size() - 1));
    return word.starts_with('-') && is_name(word) && matches(word);
  }

  static bool is_assignment(std::string_view word) {
    const std::size_t equals = word.find('=');
    return equals != std::string_view::npos && is_name(word.substr(0, equals));
  }

  /// Where the value of a matching name begins: after `NAME=`, `NAME+=`, `NAME[x]=`, `"NAME":`, anywhere in a first
  /// word.
  [[nodiscard]] std::size_t value_after_name(std::string_view word) const {
    const std::string_view first = word.substr(0, word.find_first_of(separators));
    for (std::size_t at = first.find_first_of("=:"); at != std::string_view::npos;
         at = first.find_first_of("=:", at + 1)) {
      std::string_view name = word.substr(0, at);
      if (name.ends_with('+')) name.remove_suffix(1);
      if (name.ends_with(']')) name = name.substr(0, std::min(name.rfind('['), name.size()));
      while (!name.empty() && std::string_view("\"'").find(name.back()) != std::string_view::npos)
        name.remove_suffix(1);
      std::size_t begin = name.size();
      while (begin > 0 && of_name(name[begin - 1])) --begin;
      name.remove_prefix(begin);
      if (is_name(name) && matches(name) && at + 1 < word.size()) return at + 1;
    }
    return std::string_view::npos;
  }

  void replace(std::string& word) {
    if (shared_.made.contains(word)) return;
    word = shared_.redactor.digest(word);
    shared_.made.insert(word);
    ++count_;
  }

  /// A word that may contain others. It is replaced as a whole if it is nested deeper than people write, or if bash
  /// might split it elsewhere and something in it matches.
  void apply_inside(std::string& word) {
    if (word.find_first_of(special) == std::string::npos) return;
    if (depth_ == max_depth || word.size() > shared_.budget) return replace(word);
    shared_.budget -= word.size();
    const ShellWords cut = cut_shell_words(word);
    if (!cut.sound && matches_roughly(word)) return replace(word);
    const std::set<unsigned> commands = commands_that_match(cut);
    Pass inside(shared_, depth_ + 1);
    std::string out;
    std::size_t copied = 0;
    for (const ShellWord& part : cut.words) {
      out.append(word, copied, part.begin - copied);
      out += inside.redacted(part, std::string_view(word).substr(part.begin, part.end - part.begin), commands);
      copied = part.end;
    }
    out.append(word, copied);
    if (!cut.sound && inside.count() > 0) return replace(word);
    take_over(inside);
    word = std::move(out);
  }

  /// A string that ends with an option may precede the value: `eval 'curl --token' X`, `$(echo --token) X`.
  void take_over(const Pass& inside) {
    count_ += inside.count_;
    ends_with_option_ |= inside.value_of_option_;
  }

  /// The input of a command whose name matches may be the value.
  [[nodiscard]] std::set<unsigned> commands_that_match(const ShellWords& cut) const {
    std::set<unsigned> commands;
    for (const ShellWord& word : cut.words) {
      if (word.role == ShellWord::Role::word && matches(word.text())) commands.insert(word.command);
    }
    return commands;
  }

  /// A word of a shell string, unchanged unless part of it was replaced.
  std::string redacted(const ShellWord& word, std::string_view raw, const std::set<unsigned>& commands) {
    using Role = ShellWord::Role;
    const std::size_t before = count_;
    std::string text = word.text();
    const bool is_read = word.role == Role::here_string || word.role == Role::here_document;
    if (is_read && commands.contains(word.command)) {
      replace(text);
    } else if (word.role == Role::here_document || word.role == Role::comment) {
      if (word.role == Role::comment) text.erase(0, 1);
      apply_inside(text);
      ends_with_option_ = false;
      if (word.role == Role::comment) text.insert(0, 1, '#');
    } else if (word.role == Role::word) {
      apply_to_pieces(word, text, raw);
    } else {  // a redirection between an option and its value changes nothing
      const bool awaits = value_of_option_;
      apply_to_pieces(word, text, raw);
      value_of_option_ |= awaits;
    }
    return count_ == before ? std::string(raw) : text;
  }

  void apply_to_pieces(const ShellWord& word, std::string& text, std::string_view raw) {
    if (!value_of_option_) {
      text.clear();
      for (const ShellPiece& piece : word.pieces) text += redacted(piece);
    }
    const bool only_itself = text == raw && std::ranges::any_of(word.pieces, [](const ShellPiece& piece) {
                               return piece.kind == ShellPiece::Kind::script;
                             });
    const bool is_read =
        only_itself && !value_of_option_ && !matches(text) && value_after_name(text) == std::string::npos;
    if (!is_read && !text.empty()) apply(text);
    value_of_option_ |= std::exchange(ends_with_option_, false);
  }

  std::string redacted(const ShellPiece& piece) {
    if (piece.kind == ShellPiece::Kind::literal) return piece.text;
    std::string text = piece.text;
    Pass inside(shared_, depth_);
    if (!piece.parameter.empty() && !text.empty() && matches(piece.parameter))
      inside.replace(text);
    else
      inside.apply_script(text);
    take_over(inside);
    return piece.open + text + piece.close;
  }

  /// A substitution that contains one word is a shell string, too.
  void apply_script(std::string& text) {
    if (text.find_first_of(special) == std::string::npos) {
      if (!text.empty()) apply(text);
      return;
    }
    apply_inside(text);
    value_of_option_ |= std::exchange(ends_with_option_, false);
  }

  /// True when anything in it matches, wherever words end.
  [[nodiscard]] bool matches_roughly(std::string_view text) const {
    std::string plain;
    for (const char c : text) {
      if (std::string_view("'\"\\$").find(c) == std::string_view::npos) plain += c;
    }
    for (const std::string_view source : {text, std::string_view(plain)}) {
      constexpr std::string_view ends = " \t\n\r;|&()<>`'\"\\{}[],";
      for (std::size_t at = 0; at < source.size();) {
        const std::size_t end = std::min(source.find_first_of(ends, at), source.size());
        const std::string_view word = source.substr(at, end - at);
        if (!word.empty() && (matches(word) || value_after_name(word) != std::string::npos)) return true;
        at = end + 1;
      }
    }
    return matches(text);
  }

  Shared& shared_;
  unsigned depth_;
  std::size_t count_ = 0;
  bool value_of_option_ = false;   // the next word is the value of an option that matches
  bool ends_with_option_ = false;  // the same, for a string inside this word
};

std::size_t Redactor::apply(std::vector<std::string>& words) const {
  if (globs_.empty()) return 0;
  std::size_t bytes = 0;
  for (const std::string& word : words) bytes += word.size();
  Pass::Shared shared{.redactor = *this, .budget = 16 * bytes, .made = {}};
  Pass pass(shared, 0);
  for (std::string& word : words) pass.apply(word);
  return pass.count();
}

}  // namespace agentrun::journal
