// Names that are not UTF-8. Records have them in base64 (`path_b64`); code that shows or matches names must handle
// them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

inline constexpr std::string_view base64_suffix = "_b64";

/// Decodes the value of a `<key>_b64`; nullopt if it is not canonical base64.
std::optional<std::string> bytes_of_base64(std::string_view text);
/// Makes UTF-8: bytes that are part of no character become \xNN.
std::string escaped(std::string_view bytes);
/// Both: how a `<key>_b64` is shown. What is not base64 is returned unchanged.
std::string shown_base64(std::string_view text);

}  // namespace agentrun::journal
