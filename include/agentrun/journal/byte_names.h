// Names that are not UTF-8: a record holds them in base64 (`path_b64`), and whoever shows or matches names must not
// pass them by.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

inline constexpr std::string_view base64_suffix = "_b64";

/// The bytes that a `<key>_b64` holds; nullopt for what is not canonical base64.
std::optional<std::string> bytes_of_base64(std::string_view text);
/// As UTF-8: a byte that is part of no character becomes \xNN, all else stays.
std::string escaped(std::string_view bytes);
/// Both: how a `<key>_b64` is shown; what is not base64 stays as it is.
std::string shown_base64(std::string_view text);

}  // namespace agentrun::journal
