// Which unix sockets with a path are the agent's own: those that the broker bound for it, and all on its scratch
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

/// The ids of the scratch mounts (a tmpfs of the run, where no program of the host makes anything) in this process's
/// mount namespace. None with weaken: [host-root], since the agent's root is the host's then.
std::vector<std::uint64_t> scratch_mounts(const policy::Policy& policy);

/// By device and inode, each with a descriptor held, so that the number cannot come to mean another file. Bounded: when
/// it is full, those that are unlinked are let go, and then the one that was made or connected to longest ago.
class OwnSockets {
 public:
  /// How many are remembered at most.
  static constexpr std::size_t limit = 1024;

  explicit OwnSockets(std::vector<std::uint64_t> scratch, std::size_t most = limit)
      : scratch_(std::move(scratch)), most_(most) {}
  OwnSockets(const OwnSockets&) = delete;
  OwnSockets& operator=(const OwnSockets&) = delete;

  /// Remembers what `socket` (O_PATH) is open on; nothing when it is no socket or cannot be looked at.
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
  std::list<Entry> entries_;  // the last that was used at the end
};

}  // namespace agentrun::broker
