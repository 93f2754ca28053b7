// Reads members of a canonical JSON line in place.
#include "journal/format/fields.h"

#include <agentrun/journal.h>

#include <charconv>
#include <cstring>

#include "journal/format/encode.h"

namespace agentrun::journal {

namespace {

/// The size of the quoted string at the front of `text`; 0 when there is none.
std::size_t string_size(std::string_view text) noexcept {
  if (!text.starts_with('"')) return 0;
  for (std::size_t at = 1; (at = text.find('"', at)) != std::string_view::npos; ++at) {
    std::size_t backslashes = 0;
    while (text[at - 1 - backslashes] == '\\') ++backslashes;  // ends at the opening quote
    if (backslashes % 2 == 0) return at + 1;
  }
  return 0;
}

/// The size of the array or object at the front of `text`; 0 when it does not end.
std::size_t nested_size(std::string_view text) noexcept {
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      const std::size_t n = string_size(text.substr(i));
      if (n == 0) return 0;
      i += n;
      continue;
    }
    if (text[i] == '{' || text[i] == '[') ++depth;
    if ((text[i] == '}' || text[i] == ']') && --depth == 0) return i + 1;
    ++i;
  }
  return 0;
}

constexpr bool is_scalar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

std::size_t value_size(std::string_view text) noexcept {
  if (text.empty()) return 0;
  if (text[0] == '"') return string_size(text);
  if (text[0] == '{' || text[0] == '[') return nested_size(text);
  std::size_t size = 0;  // numbers, true, false, null
  while (size < text.size() && is_scalar(text[size])) ++size;
  return size < text.size() ? size : 0;
}

std::optional<std::string_view> find_member(std::string_view line, std::string_view key) noexcept {
  Members members(line);
  for (Member member; members.next(member);) {
    if (member.key == key) return member.value;
  }
  return std::nullopt;
}

/// Decodes what follows a backslash in canonical JSON: a short form, or u00 and two hex digits. Returns its size; 0,
/// and changes nothing, on anything else.
std::size_t append_unescaped(std::string& out, std::string_view rest) {
  static constexpr std::string_view letters = "\"\\bfnrt";
  static constexpr std::string_view meanings = "\"\\\b\f\n\r\t";
  if (rest.empty()) return 0;
  if (const std::size_t at = letters.find(rest[0]); at != std::string_view::npos) {
    out.push_back(meanings[at]);
    return 1;
  }
  std::uint8_t byte = 0;
  if (!rest.starts_with("u00") || rest.size() < 5 || !decode_hex(rest.substr(3, 2), {&byte, 1}) || byte >= 0x20)
    return 0;
  out.push_back(static_cast<char>(byte));
  return 5;
}

/// The strings of a canonical array; nullopt for anything else.
std::optional<std::vector<std::string>> texts_of(std::string_view array) {
  std::vector<std::string> texts;
  if (!array.starts_with('[') || !array.ends_with(']')) return std::nullopt;
  array = array.substr(1, array.size() - 2);
  while (!array.empty()) {
    const std::size_t size = string_size(array);
    const auto text = unquote(array.substr(0, size));
    if (!text) return std::nullopt;
    texts.push_back(*text);
    array.remove_prefix(size);
    if (array.empty()) break;
    if (!array.starts_with(',') || array.size() == 1) return std::nullopt;
    array.remove_prefix(1);
  }
  return texts;
}

}  // namespace

Members::Members(std::string_view line) noexcept : rest_(line) {
  if (rest_.starts_with('{'))
    rest_.remove_prefix(1);
  else
    rest_ = {};
}

Members Members::from(std::string_view rest) noexcept {
  Members members;
  members.rest_ = rest;
  return members;
}

bool Members::next(Member& member) noexcept {
  if (!first_) {
    if (!rest_.starts_with(',')) return false;
    rest_.remove_prefix(1);
  }
  first_ = false;
  const std::size_t key = string_size(rest_);
  if (key == 0 || !rest_.substr(key).starts_with(':')) return false;
  const std::string_view after = rest_.substr(key + 1);
  const std::size_t value = value_size(after);
  if (value == 0) return false;
  member = {.key = rest_.substr(1, key - 2), .value = after.substr(0, value)};
  rest_ = after.substr(value);
  return true;
}

std::optional<std::string> unquote(std::string_view value) {
  if (value.size() < 2 || string_size(value) != value.size()) return std::nullopt;
  value = value.substr(1, value.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\\') {
      text.push_back(value[i]);
      continue;
    }
    const std::size_t n = append_unescaped(text, value.substr(i + 1));
    if (n == 0) return std::nullopt;
    i += n;
  }
  return text;
}

std::optional<std::int64_t> integer(std::string_view value) noexcept {
  if (value.size() > 2 && value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return number;
}

std::optional<std::string> text_field(std::string_view line, std::string_view key) {
  const auto value = find_member(line, key);
  return value ? unquote(*value) : std::nullopt;
}

std::optional<std::int64_t> number_field(std::string_view line, std::string_view key) {
  const auto value = find_member(line, key);
  return value ? integer(*value) : std::nullopt;
}

std::optional<std::vector<std::string>> list_field(std::string_view line, std::string_view key) {
  const auto value = find_member(line, key);
  return value ? texts_of(*value) : std::nullopt;
}

}  // namespace agentrun::journal
