#include "broker/workers.h"

#include <signal.h>

#include <chrono>
#include <system_error>
#include <thread>

namespace agentrun::broker {

namespace {
constexpr int interrupt_signal = SIGUSR1;
constexpr auto watch_period = std::chrono::milliseconds(20);
void ignore(int) {}
}  // namespace

void install_interrupt() {
  struct sigaction action {};
  action.sa_handler = ignore;  // without SA_RESTART: a blocked open returns EINTR
  ::sigaction(interrupt_signal, &action, nullptr);
}

int Workers::start(std::uint64_t id, Work work) {
  const std::scoped_lock lock(mutex_);
  if (busy_.size() >= limit) return EAGAIN;
  try {
    if (!watching_) {
      std::thread([this] { watch(); }).detach();
      watching_ = true;
    }
    auto interruption = work.interruption;
    std::thread thread([this, id, work = std::move(work)] { run(id, work); });
    busy_.emplace(id, Busy{.thread = thread.native_handle(), .interruption = std::move(interruption)});
    thread.detach();
  } catch (const std::system_error&) {
    return EAGAIN;
  }
  return 0;
}

void Workers::run(std::uint64_t id, const Work& work) {
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
  listener_.send(id, reply);
}

// Sends again and again until the worker has left: the first signal may come before its open has begun to wait.
void Workers::watch() {
  for (;;) {
    std::this_thread::sleep_for(watch_period);
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, busy] : busy_) {
      if (!listener_.valid(id) || busy.interruption() != 0) ::pthread_kill(busy.thread, interrupt_signal);
    }
  }
}

}  // namespace agentrun::broker
