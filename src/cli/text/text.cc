#include "cli/text/text.h"

#include <time.h>

#include <array>
#include <cstdio>

namespace agentrun::cli {

namespace {

struct Character {
  char32_t code = 0;
  std::size_t size = 0;  // 0: not UTF-8
};

// RFC 3629, the shortest form only.
Character decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xf0 && first < 0xf5   ? 4
                           : first >= 0xe0 && first < 0xf0 ? 3
                           : first >= 0xc2 && first < 0xe0 ? 2
                                                           : 0;
  if (size == 0 || text.size() < size) return {};
  char32_t code = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3fU);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && (code < 0x10000 || code > 0x10ffff));
  return overlong || (code >= 0xd800 && code < 0xe000) ? Character{} : Character{code, size};
}

bool harmless(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  const bool direction =
      (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
  // Nothing is seen of these (Unicode, Default_Ignorable_Code_Point), and much can be hidden in them: tags, fillers,
  // variation selectors. Of the latter U+FE0F stays, which half of all emoji end with.
  const bool unseen = c == 0xad || c == 0x34f || c == 0x61c || c == 0x115f || c == 0x1160 || c == 0x17b4 ||
                      c == 0x17b5 || (c >= 0x180b && c <= 0x180f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0e) ||
                      c == 0xffa0 || (c >= 0xfff0 && c <= 0xfffb) || (c >= 0x1d173 && c <= 0x1d17a) ||
                      (c >= 0xe0000 && c <= 0xe0fff);
  return !control && !direction && !unseen;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character c = decode(text);
    const std::size_t size = c.size == 0 ? 1 : c.size;
    if (c.size != 0 && harmless(c.code)) {
      out.append(text.substr(0, size));
    } else {
      for (const char byte : text.substr(0, size)) {
        std::array<char, 5> escape{};
        std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        out.append(escape.data());
      }
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string printable_lines(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += printable(text.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out;
}

std::string printable_json(std::string_view json) {
  std::string out;
  const auto unit = [&](char32_t value) {
    std::array<char, 7> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(value & 0xffffU));
    out.append(escape.data());
  };
  while (!json.empty()) {
    const Character c = decode(json);
    const std::size_t size = c.size == 0 ? 1 : c.size;
    if (c.size != 0 && (c.code < 0x20 || harmless(c.code))) {  // below 0x20 JSON has white space only
      out.append(json.substr(0, size));
    } else if (c.code >= 0x10000) {
      unit(0xd800 + ((c.code - 0x10000) >> 10));
      unit(0xdc00 + ((c.code - 0x10000) & 0x3ffU));
    } else {
      unit(c.size == 0 ? char32_t{0xfffd} : c.code);
    }
    json.remove_prefix(size);
  }
  return out;
}

std::string json_line(const nlohmann::json& value) {
  return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string time_text(std::int64_t nanoseconds) {
  const time_t seconds = nanoseconds / 1'000'000'000;
  tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &utc);
  const std::string ms = std::to_string(1000 + nanoseconds / 1'000'000 % 1000);  // 1nnn: leading zeros without a format
  return text.data() + ms.substr(1) + "Z";
}

}  // namespace agentrun::cli
