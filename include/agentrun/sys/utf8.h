// UTF-8 (RFC 3629), and which characters may be shown on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentrun {

/// The first character of a text. `bytes` is 0 when the text is empty or does not begin with well-formed UTF-8.
struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;
};
Character first_character(std::string_view text) noexcept;

/// C0 and C1 controls, DEL, the byte order mark, line and paragraph separators, and the marks that change the direction
/// of text: a name that contains one is shown escaped.
bool is_control(std::uint32_t code) noexcept;

/// A character that may be shown as it is. Not: is_control(), the other marks of direction and joining, and what
/// nothing is seen of (Unicode, Default_Ignorable_Code_Point): tags, fillers, variation selectors, in which much can be
/// hidden. Of the latter U+FE0F may, which half of all emoji end with.
bool is_shown(std::uint32_t code) noexcept;

/// `text` for one line of a message. Bytes that are not well-formed UTF-8 or not is_shown() become \xNN.
std::string printable(std::string_view text);

}  // namespace agentrun
