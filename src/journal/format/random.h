// Random bytes for keys, salts and names of files.
#pragma once

#include <cstdint>
#include <span>

namespace agentrun::journal {

/// Fills at most 256 bytes from getrandom(2), which serves requests of that size whole. Throws SysError.
void fill_random(std::span<std::uint8_t> bytes);

}  // namespace agentrun::journal
