// Calls that may wait for ever (opening a FIFO or a terminal) leave the receivers free: a bounded number of threads.
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
    std::function<Reply()> call;        // the answer; an error of EINTR: it was interrupted
    std::function<int()> interruption;  // the errno that a signal of the target ends the call with; 0: none waits
  };

  explicit Workers(const Listener& listener) : listener_(listener) {}

  /// Does on the calling thread what should take no time, and interrupts it when it does: a system call that waits then
  /// fails with EINTR within about 40 ms, whatever another process makes of the open file meanwhile. Gives what `call`
  /// gives.
  int briefly(const std::function<int()>& call);

  /// Runs the call on a thread of its own and answers `id` with its reply. When the target is gone the call is
  /// interrupted and its result dropped; when a signal waits for the target, it is interrupted and answered with that
  /// errno. Refused with EAGAIN when all workers are busy.
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
  std::map<pthread_t, int> brief_;  // by thread: how often the watcher has met it
  std::condition_variable changed_;
  bool watching_ = false;
  bool asleep_ = false;  // the watcher has nothing to look at
};

/// Installs the empty handler of the signal that interrupts a worker. Once, before any thread.
void install_interrupt();

}  // namespace agentrun::broker
