// Knows which unix sockets with a path are the agent's own: those that the broker bound for it, and all on its scratch
// mounts.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include "broker/path/resolve.h"

namespace agentrun::broker {

/// The ids of the scratch mounts in this process's mount namespace. A scratch mount is a tmpfs of the run, where no
/// program on the host creates files. None with weaken: [host-root]: the agent's root is then the host's.
std::vector<std::uint64_t> scratch_mounts(const policy::Policy& policy);

/// Remembers sockets by device and inode. Each entry holds a descriptor, so that its inode number cannot be reused.
/// Bounded: a full set drops unlinked sockets, then the least recently used one (bound or connected to).
class OwnSockets {
 public:
  /// The largest number of entries.
  static constexpr std::size_t limit = 1024;

  explicit OwnSockets(std::vector<std::uint64_t> scratch, std::size_t most = limit)
      : scratch_(std::move(scratch)), most_(most) {}
  OwnSockets(const OwnSockets&) = delete;
  OwnSockets& operator=(const OwnSockets&) = delete;

  /// Remembers the object of `socket` (O_PATH). Does nothing if it is no socket or cannot be examined.
  void add(Fd socket);
  [[nodiscard]] bool contains(const Object& object);

 private:
  struct Entry {
    Fd held;
    dev_t dev;
    ino_t ino;
  };

  void make_room();

  const std::vector<std::uint64_t> scratch_;
  const std::size_t most_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the most recently used at the end
};

}  // namespace agentrun::broker
