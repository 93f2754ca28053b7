// Shows names that are not UTF-8 as text.
#include <agentrun/journal/byte_names.h>

#include <array>
#include <cstdio>
#include <vector>

#include "journal/format/encode.h"

namespace agentrun::journal {

std::optional<std::string> bytes_of_base64(std::string_view text) {
  std::vector<std::uint8_t> bytes(text.size() / 4 * 3 + 3);
  const auto size = decode_base64(text, bytes);
  if (!size) return std::nullopt;
  return std::string(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*size));
}

std::string escaped(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const std::size_t size = utf8_character(bytes);
    if (size == 0) {
      std::array<char, 5> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x",
                    static_cast<unsigned>(static_cast<unsigned char>(bytes[0])));
      out += escape.data();
    } else {
      out += bytes.substr(0, size);
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

std::string shown_base64(std::string_view text) {
  const auto bytes = bytes_of_base64(text);
  return bytes ? escaped(*bytes) : std::string(text);
}

}  // namespace agentrun::journal
