// Hex, base64, decimal and UTF-8, in exactly one form for each value.
#include "journal/format/encode.h"

#include <agentrun/journal.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace agentrun::journal {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::uint8_t no_digit = 0xff;

constexpr std::array<std::uint8_t, 256> reverse(std::string_view digits) {
  std::array<std::uint8_t, 256> table{};
  table.fill(no_digit);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    table[static_cast<std::uint8_t>(digits[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}
constexpr auto base64_values = reverse(alphabet);
constexpr auto hex_values = reverse(hex_digits);

// The lead bytes of RFC 3629 §4, each with the range of the second byte; further bytes are 80..BF.
struct Lead {
  std::uint8_t first, last, low, high, length;
};
constexpr std::array<Lead, 9> leads{{
    {0x00, 0x7f, 0x00, 0x00, 1},
    {0xc2, 0xdf, 0x80, 0xbf, 2},
    {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4},
    {0xf4, 0xf4, 0x80, 0x8f, 4},
}};

constexpr std::array<std::string_view, 19> wide_spaces{
    "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
    "\u2007", "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

}  // namespace

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text.push_back(hex_digits[byte >> 4]);
    text.push_back(hex_digits[byte & 15]);
  }
  return text;
}

bool decode_hex(std::string_view text, std::span<std::uint8_t> out) noexcept {
  if (text.size() != out.size() * 2) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint8_t high = hex_values[static_cast<std::uint8_t>(text[2 * i])];
    const std::uint8_t low = hex_values[static_cast<std::uint8_t>(text[2 * i + 1])];
    if (high == no_digit || low == no_digit) return false;
    out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = std::uint32_t{bytes[i]} << 16;
    if (n > 1) group |= std::uint32_t{bytes[i + 1]} << 8;
    if (n > 2) group |= bytes[i + 2];
    for (std::size_t k = 0; k < 4; ++k) text.push_back(k <= n ? alphabet[group >> (18 - 6 * k) & 63] : '=');
  }
  return text;
}

std::optional<std::size_t> decode_base64(std::string_view text, std::span<std::uint8_t> out) noexcept {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    std::size_t digits = 4;
    while (last && digits > 2 && text[i + digits - 1] == '=') --digits;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t value = k < digits ? base64_values[static_cast<std::uint8_t>(text[i + k])] : std::uint8_t{0};
      if (value == no_digit) return std::nullopt;
      group = group << 6 | value;
    }
    const std::size_t n = digits - 1;
    if ((group & (0xffffffU >> (8 * n))) != 0) return std::nullopt;  // not the canonical form of these bytes
    if (n > out.size() - size) return std::nullopt;
    for (std::size_t k = 0; k < n; ++k) out[size++] = static_cast<std::uint8_t>(group >> (16 - 8 * k));
  }
  return size;
}

std::optional<std::uint64_t> decode_decimal(std::string_view text) noexcept {
  if (text.empty() || (text[0] == '0' && text.size() > 1) || text[0] < '0' || text[0] > '9') return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

std::size_t utf8_character(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (const Lead& lead : leads) {
    if (byte(0) < lead.first || byte(0) > lead.last) continue;
    if (lead.length == 1) return 1;
    if (text.size() < lead.length || byte(1) < lead.low || byte(1) > lead.high) return 0;
    for (std::size_t i = 2; i < lead.length; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    return lead.length;
  }
  return 0;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t n = utf8_character(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

bool is_key_name(std::string_view name) noexcept {
  if (name.empty()) return false;
  while (!name.empty()) {
    const std::size_t n = utf8_character(name);
    if (n == 0) return false;
    if (n == 1 && (name[0] <= ' ' || name[0] == '+' || name[0] == '\x7f')) return false;
    if (std::ranges::find(wide_spaces, name.substr(0, n)) != wide_spaces.end()) return false;
    name.remove_prefix(n);
  }
  return true;
}

}  // namespace agentrun::journal
