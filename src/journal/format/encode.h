// Encodings of the journal's files: hex, base64, UTF-8, decimal. Decoders take exactly one form of each value.
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

/// base64(): agentrun/journal.h. Decodes into `out` and gives the number of bytes. nullopt when `text` is not canonical
/// (alphabet, padding, and unused bits that are zero) or does not fit.
std::optional<std::size_t> decode_base64(std::string_view text, std::span<std::uint8_t> out) noexcept;

/// Lower-case hex that fills `out`; false on anything else.
bool decode_hex(std::string_view text, std::span<std::uint8_t> out) noexcept;

/// Decimal without sign and without leading zeros, at most 2^63−1.
std::optional<std::uint64_t> decode_decimal(std::string_view text) noexcept;

/// The length of the UTF-8 character at the beginning of `text` (RFC 3629 §4: no overlong forms, no surrogates, at most
/// U+10FFFF); 0 when there is none.
std::size_t utf8_character(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

/// A note's key name: UTF-8, not empty, without control characters, white space (Unicode White_Space) and '+'
/// (C2SP signed-note).
bool is_key_name(std::string_view name) noexcept;

}  // namespace agentrun::journal
