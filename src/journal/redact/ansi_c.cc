// Decodes the escapes of bash's $'…' (lib/sh/strtrans.c).
#include "journal/redact/ansi_c.h"

#include <cstddef>
#include <cstdint>

namespace agentrun::journal {

namespace {

constexpr std::string_view letters = "abeEfnrtv\\'\"?";
constexpr std::string_view meanings = "\a\b\x1b\x1b\f\n\r\t\v\\'\"?";

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

// Reads at most `most` digits from the front of `rest`. Returns how many there were.
std::size_t take_number(std::string_view& rest, int base, std::size_t most, std::uint32_t& value) {
  std::size_t count = 0;
  for (value = 0; count < most && count < rest.size() && digit(rest[count]) < base; ++count)
    value = value * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(digit(rest[count]));
  rest.remove_prefix(count);
  return count;
}

void add_utf8(std::uint32_t code, std::string& out) {
  const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | ((code >> 18) & 7));
    tail(12), tail(6), tail(0);
  }
}

// Decodes what follows a backslash.
void decode_escape(std::string_view& rest, std::string& out) {
  const char c = rest.front();
  std::uint32_t value = 0;
  if (const std::size_t at = letters.find(c); at != std::string_view::npos) {
    out += meanings[at];
    rest.remove_prefix(1);
  } else if (digit(c) < 8) {
    take_number(rest, 8, 3, value);
    out += static_cast<char>(value & 0xff);
  } else if (c == 'x' || c == 'u' || c == 'U') {
    std::string_view digits = rest.substr(1);
    if (take_number(digits, 16, c == 'x' ? 2 : c == 'u' ? 4 : 8, value) == 0) {
      out += '\\';
      return;
    }
    rest = digits;
    if (c == 'x')
      out += static_cast<char>(value);
    else
      add_utf8(value, out);
  } else if (c == 'c' && rest.size() > 1) {
    out += static_cast<char>(rest[1] & 0x1f);
    rest.remove_prefix(2);
  } else {
    out += '\\';
  }
}

}  // namespace

std::string decode_ansi_c(std::string_view source) {
  std::string out;
  while (!source.empty()) {
    const char c = source.front();
    source.remove_prefix(1);
    if (c == '\\' && !source.empty())
      decode_escape(source, out);
    else
      out += c;
    if (!out.empty() && out.back() == '\0') {
      out.pop_back();
      break;
    }
  }
  return out;
}

}  // namespace agentrun::journal
