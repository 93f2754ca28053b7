// The lock of what directories hold, between the threads of a broker and between the brokers of all runs.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <shared_mutex>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// Changes hold it shared. The rename of a directory in which something is guarded holds it alone: nothing, and no
/// other run, can put anything into the directory between the scan and the rename. For std::shared_lock and
/// std::unique_lock. Locking throws SysError(EBUSY) when another run's broker holds it longer than any change takes.
class TreeLock {
 public:
  /// What brokers lock that can see each other's directories: the host's user namespace, which is a file
  /// (namespaces(7)) that no agent can open: its own is another, and the kernel names it none above that.
  static Fd open_common();

  /// `common`: an open file description of its own. `patience`: what is longer than any change takes.
  explicit TreeLock(Fd common, std::chrono::milliseconds patience = std::chrono::seconds(20))
      : common_(std::move(common)), patience_(patience) {}
  TreeLock(const TreeLock&) = delete;
  TreeLock& operator=(const TreeLock&) = delete;

  void lock();
  void unlock() noexcept;
  void lock_shared();
  void unlock_shared() noexcept;

 private:
  void acquire(int operation) const;

  Fd common_;
  std::chrono::milliseconds patience_;
  std::shared_mutex threads_;
  std::mutex counting_;
  std::size_t sharing_ = 0;  // threads that hold it shared: the first takes the common lock, the last gives it back
};

}  // namespace agentrun::broker
