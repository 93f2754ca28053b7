// The digests of pinned programs. To hash a large program takes as long as to start it, so a digest is kept for as long
// as the file is what it was.
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
  /// SHA-256 in hex of the regular file that `file` can read; "" when it cannot be read or changes meanwhile. It is
  /// kept by the time of change, which nobody can set.
  std::string of(const Fd& file);

 private:
  using Identity = std::array<std::uint64_t, 5>;  // device, inode, size, time of change in seconds and nanoseconds
  std::mutex mutex_;
  std::map<Identity, std::string> known_;
};

}  // namespace agentrun::broker
