// UTF-8 (RFC 3629) and what of it may be shown on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentrun::profile {

/// The first character of a text. `bytes` is 0 when the text is empty or does not begin with well-formed UTF-8.
struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;
};
Character first_character(std::string_view text) noexcept;

/// C0 and C1 controls, DEL, the byte order mark, line and paragraph separators, and the marks that change the direction
/// of text: a name that holds one is not shown as it is.
bool is_control(std::uint32_t code) noexcept;

/// `text` for one line of a message: what is not well-formed or is_control() becomes \xNN, byte by byte.
std::string printable(std::string_view text);

}  // namespace agentrun::profile
