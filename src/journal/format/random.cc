// Random bytes from getrandom(2).
#include "journal/format/random.h"

#include <agentrun/sys/error.h>
#include <sys/random.h>

namespace agentrun::journal {

void fill_random(std::span<std::uint8_t> bytes) {
  const ssize_t n = check(retry_eintr([&] { return ::getrandom(bytes.data(), bytes.size(), 0); }), "getrandom");
  if (static_cast<std::size_t>(n) != bytes.size()) throw SysError(EIO, "getrandom", "short");
}

}  // namespace agentrun::journal
