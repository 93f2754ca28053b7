// Caches the digests of pinned programs. Hashing a large program takes as long as starting it, so a digest is kept
// until the file changes.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// Shared by the receivers.
class Digests {
 public:
  /// SHA-256 in hex of the readable regular file `file`; "" when the file cannot be read or changes meanwhile. The key
  /// of the cache includes the file's ctime, which nobody can set.
  std::string of(const Fd& file);

 private:
  using Identity = std::array<std::uint64_t, 5>;  // device, inode, size, ctime in seconds and nanoseconds
  std::mutex mutex_;
  std::map<Identity, std::string> known_;
};

}  // namespace agentrun::broker
