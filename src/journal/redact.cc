#include <agentrun/journal.h>
#include <agentrun/journal/redact.h>

#include <algorithm>
#include <utility>

#include "journal/random.h"

namespace agentrun::journal {

namespace {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// One star to go back to is enough: what an earlier one took could as well be taken by the later one. So the time is
/// bounded by the product of the lengths, whatever the words are.
bool glob(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

Redactor::Redactor(std::vector<std::string> globs) : globs_(std::move(globs)) {
  fill_random(salt_);
}

bool Redactor::matches(std::string_view text) const noexcept {
  return std::ranges::any_of(globs_, [&](const std::string& pattern) { return glob(pattern, text); });
}

std::string Redactor::digest(std::string_view text) const {
  constexpr std::size_t block = 64;  // of SHA-256
  const auto pad = [&](char with) {
    std::string key(block, with);
    for (std::size_t i = 0; i < salt_.size(); ++i) key[i] = static_cast<char>(key[i] ^ static_cast<char>(salt_[i]));
    return key;
  };
  const Hash inner = sha256(pad(0x36).append(text));
  const Hash outer = sha256(pad(0x5c).append(reinterpret_cast<const char*>(inner.data()), inner.size()));
  return "hmac:" + hex(std::span(outer).first(8));
}

/// One pass over words that follow each other.
class Redactor::Pass {
 public:
  Pass(const Redactor& redactor, unsigned depth) : redactor_(redactor), depth_(depth) {}
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  void apply(std::string& word) {
    const std::size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(0, equals);
    if (std::exchange(value_of_option_, false)) return replace(word);
    if (equals != std::string::npos && is_name(name)) {
      std::string value = word.substr(equals + 1);
      if (redactor_.matches(name)) replace(value);
      else if (redactor_.matches(word)) return replace(word);
      else apply_inside(value);
      word.replace(equals + 1, std::string::npos, value);
    } else if (word.starts_with('-') && is_name(word) && redactor_.matches(word)) {
      value_of_option_ = true;
    } else if (redactor_.matches(word)) {
      replace(word);
    } else {
      apply_inside(word);
    }
  }

 private:
  static constexpr unsigned max_depth = 8;
  static constexpr std::string_view separators = " \t\n\r;|&()<>`";

  /// `--token`, `-t`, `API_KEY`: what stands before '=' where that means a value.
  static bool is_name(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('-'), text.size()));
    const auto letter = [](char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; };
    return !text.empty() && letter(text[0]) &&
           std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; });
  }

  void replace(std::string& word) {
    word = redactor_.digest(word);
    ++count_;
  }

  /// One word from the front of `rest`, as sh(1) would see it: quotes and backslashes taken off. Its bytes as they stand go too.
  static std::string take_word(std::string_view& rest) {
    std::string text;
    char quote = '\0';
    std::size_t at = 0;
    for (; at < rest.size(); ++at) {
      const char c = rest[at];
      if (quote == '\0' && separators.find(c) != std::string_view::npos) break;
      if (c == '\\' && quote != '\'' && at + 1 < rest.size()) {
        if (rest[++at] != '\n') text += rest[at];
      } else if (c == quote) {
        quote = '\0';
      } else if (quote == '\0' && (c == '\'' || c == '"')) {
        quote = c;
      } else {
        text += c;
      }
    }
    rest.remove_prefix(at);
    return text;
  }

  /// A word that may hold others. What is nested deeper than anybody writes by hand is replaced whole.
  void apply_inside(std::string& word) {
    if (word.find_first_of(separators) == std::string::npos && word.find_first_of("'\"\\") == std::string::npos) return;
    if (depth_ == max_depth) return replace(word);
    Pass inside(redactor_, depth_ + 1);
    std::string out;
    for (std::string_view rest = word; !rest.empty();) {
      const std::size_t blanks = std::min(rest.find_first_not_of(separators), rest.size());
      out += rest.substr(0, blanks);
      rest.remove_prefix(blanks);
      const std::string_view from = rest;
      std::string text = take_word(rest);
      const std::size_t before = inside.count();
      if (from.size() != rest.size() && !text.empty()) inside.apply(text);
      out += inside.count() == before ? from.substr(0, from.size() - rest.size()) : std::string_view(text);
    }
    count_ += inside.count();
    word = std::move(out);
  }

  const Redactor& redactor_;
  unsigned depth_;
  std::size_t count_ = 0;
  bool value_of_option_ = false;
};

std::size_t Redactor::apply(std::vector<std::string>& words) const {
  if (globs_.empty()) return 0;
  Pass pass(*this, 0);
  for (std::string& word : words) pass.apply(word);
  return pass.count();
}

}  // namespace agentrun::journal
