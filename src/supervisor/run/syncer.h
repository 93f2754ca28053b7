// fdatasync(2) in a thread, because the loop must not wait for a disk.
#pragma once

#include <cstdint>
#include <memory>

#include <agentrun/sys/fd.h>

namespace agentrun::supervisor {

/// Syncs at most once a second, in a thread that the first request starts (a short run has none). Never joins the
/// thread: it ends with the process.
class Syncer {
 public:
  Syncer();
  ~Syncer();
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;
  /// Requests a sync of `file`, unless the last sync was less than a second ago.
  void request(Fd file, std::int64_t boot_ns);
  /// 0, or the errno of a sync that failed. It is not retried, because the data may never reach the disk (fsync(2),
  /// NOTES).
  [[nodiscard]] int error() const noexcept;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::int64_t last_ = 0;
  bool started_ = false;
};

}  // namespace agentrun::supervisor
