#include <agentrun/journal.h>
#include <agentrun/sys/error.h>

namespace agentrun::journal {

int Appender::append(std::string_view line) noexcept {
  const std::shared_lock on_its_way(moving_);
  if (const int error = error_.load(std::memory_order_acquire); error != 0) return error;
  const ssize_t n = retry_eintr([&] { return ::write(fd_.get(), line.data(), line.size()); });
  if (n < 0) return fail(errno);
  if (static_cast<std::size_t>(n) != line.size()) {
    // What a limit cuts off is a short write first; the rest gets the errno that says which one (setrlimit(2), write(2)).
    const std::string_view rest = line.substr(static_cast<std::size_t>(n));
    return fail(::write(fd_.get(), rest.data(), rest.size()) < 0 ? errno : EIO);
  }
  if (durability_ == Durability::written || deferred_) return 0;
  return sync();
}

int Appender::settle() noexcept {
  if (const int error = error_.load(std::memory_order_acquire); error != 0) return error;
  return durability_ == Durability::written ? 0 : sync();
}

int Appender::fail(int error) noexcept {
  int none = 0;
  error_.compare_exchange_strong(none, error, std::memory_order_acq_rel);
  return error;
}

// Group commit: one thread syncs for all that have written by then; who writes meanwhile waits for the next one.
int Appender::sync() noexcept {
  const std::uint64_t mine = written_.fetch_add(1) + 1;
  std::unique_lock lock(sync_mutex_);
  while (synced_ < mine) {
    if (const int error = error_.load(); error != 0) return error;
    if (syncing_) {
      sync_done_.wait(lock);
      continue;
    }
    syncing_ = true;
    const std::uint64_t covered = written_.load();
    lock.unlock();
    const int error = ::fdatasync(fd_.get()) == 0 ? 0 : errno;
    lock.lock();
    syncing_ = false;
    if (error != 0) fail(error);
    else synced_ = covered;
    sync_done_.notify_all();
  }
  return 0;
}

void Appender::move_to(Fd next) noexcept {
  const std::unique_lock nothing_on_its_way(moving_);
  fd_ = std::move(next);
}

}  // namespace agentrun::journal
