// Calls that may wait for ever (opening a FIFO or a terminal) leave the receivers free: a bounded number of threads.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "broker/notification.h"

namespace agentrun::broker {

class Workers {
 public:
  explicit Workers(const Listener& listener) : listener_(listener) {}

  /// Runs `call` (which returns a descriptor or fails with errno) on a thread of its own and answers `id` with what it
  /// gave. While the target waits, EINTR is tried again; when the target is gone, the call is interrupted and its result
  /// dropped. 0, or EAGAIN when all workers are busy.
  int start(std::uint64_t id, std::uint32_t fd_flags, std::function<Fd()> call);

 private:
  void work(std::uint64_t id, std::uint32_t fd_flags, const std::function<Fd()>& call);
  void watch();

  static constexpr std::size_t limit = 64;
  const Listener& listener_;
  std::mutex mutex_;
  std::map<std::uint64_t, pthread_t> busy_;
  bool watching_ = false;
};

/// Installs the empty handler of the signal that interrupts a worker. Once, before any thread.
void install_interrupt();

}  // namespace agentrun::broker
