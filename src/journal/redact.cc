#include <agentrun/journal.h>
#include <agentrun/journal/redact.h>

#include <algorithm>

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

std::size_t Redactor::apply(std::vector<std::string>& words) const {
  if (globs_.empty()) return 0;
  std::size_t count = 0;
  bool value_of_option = false;
  for (std::string& word : words) {
    const std::size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(0, equals);
    if (value_of_option) {
      word = digest(word);
      ++count;
      value_of_option = false;
    } else if (equals != std::string::npos && matches(name)) {
      word = std::string(name) + "=" + digest(std::string_view(word).substr(equals + 1));
      ++count;
    } else if (equals == std::string::npos && word.starts_with('-') && matches(word)) {
      value_of_option = true;
    } else if (matches(word)) {
      word = digest(word);
      ++count;
    }
  }
  return count;
}

}  // namespace agentrun::journal
