// Threads for calls that may wait, and the watcher that interrupts them.
#include "broker/workers.h"

#include <signal.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>
#include <thread>

namespace agentrun::broker {

namespace {
constexpr int interrupt_signal = SIGUSR1;
constexpr auto watch_period = std::chrono::milliseconds(20);
constexpr int idle_periods = 50;
void ignore(int) {}
}  // namespace

void install_interrupt() {
  struct sigaction action {};
  action.sa_handler = ignore;  // without SA_RESTART: a blocked open returns EINTR
  ::sigaction(interrupt_signal, &action, nullptr);
}

void Workers::start_watch() {
  if (!watching_) std::thread([this] { watch(); }).detach();
  watching_ = true;
  if (asleep_) changed_.notify_one();
  asleep_ = false;
}

int Workers::briefly(const std::function<int()>& call) {
  const pthread_t self = ::pthread_self();
  {
    const std::scoped_lock lock(mutex_);
    try {
      start_watch();
      brief_.emplace(self, 0);
    } catch (const std::exception&) {
      return EAGAIN;  // do not begin a call that nobody watches
    }
  }
  const int result = call();
  const std::scoped_lock lock(mutex_);
  brief_.erase(self);
  return result;
}

Deferral Workers::start(std::uint64_t id, Work work) {
  const std::scoped_lock lock(mutex_);
  if (busy_.size() >= limit) return Deferral::refused(EAGAIN);
  try {
    start_watch();
    auto interruption = work.interruption;
    std::thread thread([this, id, work = std::move(work)]() mutable { run(id, std::move(work)); });
    busy_.emplace(id, Busy{.thread = thread.native_handle(), .interruption = std::move(interruption)});
    thread.detach();
  } catch (const std::system_error&) {
    return Deferral::refused(EAGAIN);
  }
  return Deferral::taken_over();
}

void Workers::run(std::uint64_t id, Work work) {
  Reply reply = Reply::error(EINTR);
  const auto interrupted = [&] { return reply.kind() == Reply::Kind::error && reply.number() == EINTR; };
  int interruption = 0;
  do {
    reply = work.call();
    if (interrupted()) interruption = work.interruption();
  } while (interrupted() && interruption == 0 && listener_.valid(id));
  if (interrupted() && interruption != 0) reply = Reply::error(interruption);
  {
    const std::scoped_lock lock(mutex_);
    busy_.erase(id);  // from here on the watcher does not touch this thread
  }
  work = {};  // closes the target's files that the call held, before the target resumes
  listener_.send(id, std::move(reply));
}

// Signals a worker again and again until it has left: the first signal may come before the worker's open has begun to
// wait.
void Workers::watch() {
  int idle = 0;
  for (;;) {
    std::this_thread::sleep_for(watch_period);
    std::unique_lock lock(mutex_);
    // Stay awake for a while: waking up for each of many short calls would cost more than the calls.
    idle = busy_.empty() && brief_.empty() ? idle + 1 : 0;
    if (idle > idle_periods) {
      asleep_ = true;
      changed_.wait(lock, [this] { return !asleep_; });
      idle = 0;
    }
    for (auto& [thread, met] : brief_) {
      if (++met > 1) ::pthread_kill(thread, interrupt_signal);
    }
    for (const auto& [id, busy] : busy_) {
      if (!listener_.valid(id) || busy.interruption() != 0) ::pthread_kill(busy.thread, interrupt_signal);
    }
  }
}

}  // namespace agentrun::broker
