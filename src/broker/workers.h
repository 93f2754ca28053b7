// Calls that may wait for ever (opening a FIFO or a terminal) leave the receivers free: a bounded number of threads.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "broker/notification.h"

namespace agentrun::broker {

class Workers {
 public:
  struct Work {
    std::function<Reply()> call;         // the answer; an error of EINTR: it was interrupted
    std::function<int()> interruption;   // the errno that a signal of the target ends the call with; 0: none waits
  };

  explicit Workers(const Listener& listener) : listener_(listener) {}

  /// Runs the call on a thread of its own and answers `id` with its reply. When the target is gone the call is
  /// interrupted and its result dropped; when a signal waits for the target, it is interrupted and answered with that
  /// errno. 0, or EAGAIN when all workers are busy.
  int start(std::uint64_t id, Work work);

 private:
  struct Busy {
    pthread_t thread;
    std::function<int()> interruption;
  };
  void run(std::uint64_t id, const Work& work);
  void watch();

  static constexpr std::size_t limit = 64;
  const Listener& listener_;
  std::mutex mutex_;
  std::map<std::uint64_t, Busy> busy_;
  bool watching_ = false;
};

/// Installs the empty handler of the signal that interrupts a worker. Once, before any thread.
void install_interrupt();

}  // namespace agentrun::broker
