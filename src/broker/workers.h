// Runs calls that may wait for ever (opening a FIFO or a terminal) on a bounded number of threads, so that the
// receivers stay free.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "broker/notify/listener.h"

namespace agentrun::broker {

class Workers {
 public:
  struct Work {
    std::function<Reply()> call;        // makes the reply; EINTR: it was interrupted
    std::function<int()> interruption;  // the errno for a pending signal of the target; 0: none is pending
  };

  explicit Workers(const Listener& listener) : listener_(listener) {}

  /// Runs a call that should take no time on the calling thread, and interrupts it otherwise: a system call that blocks
  /// fails with EINTR within about 40 ms, whatever another process does to the open file meanwhile. Returns the result
  /// of `call`; EAGAIN when the watcher cannot start.
  int briefly(const std::function<int()>& call);

  /// Runs the call on its own thread and answers `id` with its reply. If the target is gone, the call is interrupted
  /// and its result dropped. If the target has a pending signal, the call is interrupted and answered with that
  /// signal's errno. Refused with EAGAIN when all workers are busy.
  [[nodiscard]] Deferral start(std::uint64_t id, Work work);

 private:
  struct Busy {
    pthread_t thread;
    std::function<int()> interruption;
  };
  void run(std::uint64_t id, Work work);
  void start_watch();  // mutex_ is held
  void watch();

  static constexpr std::size_t limit = 64;
  const Listener& listener_;
  std::mutex mutex_;
  std::map<std::uint64_t, Busy> busy_;
  std::map<pthread_t, int> brief_;  // by thread: how often the watcher has seen it
  std::condition_variable changed_;
  bool watching_ = false;
  bool asleep_ = false;  // the watcher has nothing to watch
};

/// Installs an empty handler for the signal that interrupts a worker. Call it once, before any thread starts.
void install_interrupt();

}  // namespace agentrun::broker
