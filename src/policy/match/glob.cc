#include "policy/match/glob.h"

#include <algorithm>

namespace agentrun::policy {

namespace {

// What stands between '[' and ']', without the negation.
struct Class {
  std::string_view members;
  bool negated = false;
};
Class read_class(std::string_view text, std::size_t open, std::size_t end) {
  std::string_view members = text.substr(open + 1, end - open - 2);
  const bool negated = !members.empty() && (members.front() == '!' || members.front() == '^');
  if (negated) members.remove_prefix(1);
  return {members, negated};
}

// Calls `each` with the first and last byte of every range; false when a range runs backwards.
template <typename F>
bool each_range(std::string_view members, F each) {
  for (std::size_t i = 0; i < members.size();) {
    const bool range = i + 2 < members.size() && members[i + 1] == '-';
    const auto first = static_cast<unsigned char>(members[i]);
    const auto last = static_cast<unsigned char>(range ? members[i + 2] : members[i]);
    if (last < first) return false;
    each(first, last);
    i += range ? 3 : 1;
  }
  return true;
}

std::optional<std::string> class_fault(Class set) {
  if (set.members.find("[:") != std::string_view::npos) return "a named class such as [:alpha:]: write the range out";
  if (set.members.find('/') != std::string_view::npos) return "a class with a slash never matches";
  if (!each_range(set.members, [](unsigned char, unsigned char) {})) return "a range that runs backwards";
  return std::nullopt;
}

}  // namespace

std::size_t class_end(std::string_view text, std::size_t open) noexcept {
  std::size_t at = open + 1;
  if (at < text.size() && (text[at] == '!' || text[at] == '^')) ++at;
  const std::size_t close = text.find(']', at + 1);  // a ']' that comes first is a member
  return close == std::string_view::npos ? close : close + 1;
}

std::optional<std::string> Glob::fault(std::string_view source) {
  for (std::size_t i = 0; i < source.size();) {
    if (source[i] != '[') {
      if (source[i] == '\\') return "a backslash: write [*] for a star, [\\] for a backslash itself";
      ++i;
      continue;
    }
    const std::size_t end = class_end(source, i);
    if (end == std::string_view::npos) return "a [ without its ]: write [[] for the bracket itself";
    if (auto wrong = class_fault(read_class(source, i, end))) return wrong;
    i = end;
  }
  return std::nullopt;
}

std::optional<std::string> Glob::literal(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size();) {
    if (source[i] == '*' || source[i] == '?') return std::nullopt;
    if (source[i] != '[') {
      text += source[i++];
      continue;
    }
    const std::size_t end = class_end(source, i);
    const Class set = read_class(source, i, end);
    if (set.negated || set.members.size() != 1) return std::nullopt;
    text += set.members;
    i = end;
  }
  return text;
}

Glob::Glob(std::string_view source) {
  for (std::size_t i = 0; i < source.size();) {
    const auto byte = static_cast<unsigned char>(source[i]);
    if (byte != '[') {
      const Kind kind = byte == '*' ? Kind::any_bytes : byte == '?' ? Kind::any_byte : Kind::byte;
      const bool repeated = kind == Kind::any_bytes && !tokens_.empty() && tokens_.back().kind == Kind::any_bytes;
      if (!repeated) tokens_.push_back({.kind = kind, .byte = byte});
      ++i;
      continue;
    }
    const std::size_t end = class_end(source, i);
    const Class set = read_class(source, i, end);
    std::bitset<256> bytes;
    each_range(set.members, [&](unsigned first, unsigned last) {
      for (unsigned b = first; b <= last; ++b) bytes.set(b);
    });
    tokens_.push_back({.kind = Kind::set, .set = static_cast<std::uint32_t>(sets_.size())});
    sets_.push_back(set.negated ? ~bytes : bytes);
    i = end;
  }
  find_affixes();
}

void Glob::find_affixes() {
  const auto is_byte = [](const Token& token) { return token.kind == Kind::byte; };
  const auto first = std::find_if_not(tokens_.begin(), tokens_.end(), is_byte);
  for (auto at = tokens_.begin(); at != first; ++at) prefix_ += static_cast<char>(at->byte);
  if (first == tokens_.end()) return;
  const auto last = std::find_if_not(tokens_.rbegin(), tokens_.rend(), is_byte);
  for (auto at = last.base(); at != tokens_.end(); ++at) suffix_ += static_cast<char>(at->byte);
}

bool Glob::takes(const Token& token, unsigned char byte) const noexcept {
  switch (token.kind) {
    case Kind::byte:
      return token.byte == byte;
    case Kind::any_byte:
      return true;
    case Kind::set:
      return sets_[token.set].test(byte);
    case Kind::any_bytes:
      return false;
  }
  return false;
}

// The usual loop with one point of return: only the last star can need to take more, so the cost is size × tokens.
bool Glob::matches(std::string_view name) const noexcept {
  std::size_t token = 0, at = 0;
  std::size_t star = tokens_.size(), resume = 0;
  while (at < name.size()) {
    if (token < tokens_.size() && tokens_[token].kind == Kind::any_bytes) {
      star = token++;
      resume = at;
    } else if (token < tokens_.size() && takes(tokens_[token], static_cast<unsigned char>(name[at]))) {
      ++token;
      ++at;
    } else if (star < tokens_.size()) {
      token = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  while (token < tokens_.size() && tokens_[token].kind == Kind::any_bytes) ++token;
  return token == tokens_.size();
}

}  // namespace agentrun::policy
