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

int Workers::start(std::uint64_t id, std::uint32_t fd_flags, std::function<Fd()> call) {
  const std::scoped_lock lock(mutex_);
  if (busy_.size() >= limit) return EAGAIN;
  try {
    if (!watching_) {
      std::thread([this] { watch(); }).detach();
      watching_ = true;
    }
    std::thread thread([this, id, fd_flags, call = std::move(call)] { work(id, fd_flags, call); });
    busy_.emplace(id, thread.native_handle());
    thread.detach();
  } catch (const std::system_error&) {
    return EAGAIN;
  }
  return 0;
}

void Workers::work(std::uint64_t id, std::uint32_t fd_flags, const std::function<Fd()>& call) {
  Fd fd;
  int error = 0;
  do {
    fd = call();
    error = fd ? 0 : errno;
  } while (error == EINTR && listener_.valid(id));
  {
    const std::scoped_lock lock(mutex_);
    busy_.erase(id);  // from here on the watcher does not touch this thread
  }
  listener_.send(id, fd ? Reply::inject(std::move(fd), fd_flags) : Reply::error(error));
}

// Sends again and again until the worker has left: the first signal may come before its open has begun to wait.
void Workers::watch() {
  for (;;) {
    std::this_thread::sleep_for(watch_period);
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, thread] : busy_) {
      if (!listener_.valid(id)) ::pthread_kill(thread, interrupt_signal);
    }
  }
}

}  // namespace agentrun::broker
