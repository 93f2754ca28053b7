// fdatasync(2) beside the loop, which must not wait for a disk.
#pragma once

#include <cstdint>
#include <memory>

#include <agentrun/sys/fd.h>

namespace agentrun::supervisor {

/// Once a second at most what was written is brought to the disk, in a thread that is made at the first request (a
/// short run has none). The thread is never waited for: with the process it ends.
class Syncer {
 public:
  Syncer();
  ~Syncer();
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;
  /// `file` is synced soon, unless the last one was less than a second ago.
  void request(Fd file, std::int64_t boot_ns);
  /// 0, or the errno of a sync that failed. What it was about may never reach the disk, so it is not repeated
  /// (fsync(2), NOTES).
  [[nodiscard]] int error() const noexcept;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::int64_t last_ = 0;
  bool started_ = false;
};

}  // namespace agentrun::supervisor
