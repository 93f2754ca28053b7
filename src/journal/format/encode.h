// Encodings in the journal's files: hex, base64, UTF-8, decimal. Decoders accept exactly one form of each value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace agentrun::journal {

inline std::span<const std::uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Decodes base64 into `out` and returns the number of bytes. nullopt when `text` is not canonical (alphabet, padding,
/// unused bits zero) or does not fit.
std::optional<std::size_t> decode_base64(std::string_view text, std::span<std::uint8_t> out) noexcept;

/// Decodes lower-case hex that fills `out`; false on anything else.
bool decode_hex(std::string_view text, std::span<std::uint8_t> out) noexcept;

/// Decodes a decimal without sign and leading zeros, at most 2^63−1.
std::optional<std::uint64_t> decode_decimal(std::string_view text) noexcept;

/// The length of the UTF-8 character at the beginning of `text` (RFC 3629 §4: no overlong forms, no surrogates, at most
/// U+10FFFF); 0 when there is none.
std::size_t utf8_character(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

/// True for a key name of C2SP signed-note: not empty, UTF-8, without control characters, Unicode White_Space and '+'.
bool is_key_name(std::string_view name) noexcept;

}  // namespace agentrun::journal
