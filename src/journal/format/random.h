#pragma once

#include <cstdint>
#include <span>

namespace agentrun::journal {

/// Fills at most 256 bytes from getrandom(2), which does not cut requests of that size short. Throws SysError.
void fill_random(std::span<std::uint8_t> bytes);

}  // namespace agentrun::journal
