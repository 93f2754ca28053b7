// Appending a record: ledger, segment, and fdatasync(2) if it is asked for.
#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <sys/eventfd.h>

#include "journal/write/ledger.h"

namespace agentrun::journal {

int Appender::append(std::string_view line) noexcept {
  const std::shared_lock on_its_way(moving_);
  if (const int error = write(line); error != 0) return error;
  if (durability_ == Durability::page_cache || deferred_) return 0;
  return sync();
}

/// The sealer accepts a record only after the ledger announced it, and misses a record that the ledger calls finished.
/// One thread at a time, so that the lines in the file are in the ledger's order. This costs nothing: the kernel
/// serializes writes to one file, too.
int Appender::write(std::string_view line) noexcept {
  const std::scoped_lock in_order(writing_);
  if (const int error = error_.load(std::memory_order_acquire); error != 0) return error;
  Ledger* const ledger = entries_.ledger.get();
  if (ledger != nullptr) {
    if (const int error = ledger->begin(line, error_); error != 0) return fail(error);
  }
  const int segment = entries_.segment.get();
  const ssize_t n = retry_eintr([&] { return ::write(segment, line.data(), line.size()); });
  if (n < 0) return fail(errno);
  if (static_cast<std::size_t>(n) != line.size()) {
    // At a limit, the first write is short; the next one returns the errno of the limit (setrlimit(2), write(2)).
    const std::string_view rest = line.substr(static_cast<std::size_t>(n));
    return fail(::write(segment, rest.data(), rest.size()) < 0 ? errno : EIO);
  }
  if (ledger == nullptr) return 0;
  ledger->finish();
  if (ledger->wants_sealer()) (void)::eventfd_write(entries_.wake.get(), 1);
  return 0;
}

int Appender::settle() noexcept {
  if (const int error = error_.load(std::memory_order_acquire); error != 0) return error;
  return durability_ == Durability::page_cache ? 0 : sync();
}

void Appender::stop() noexcept {
  (void)fail(stopped);
  const std::scoped_lock nothing_on_its_way(writing_);
}

int Appender::fail(int error) noexcept {
  int none = 0;
  error_.compare_exchange_strong(none, error, std::memory_order_acq_rel);
  return error;
}

// Group commit: one thread syncs for all that have written; those that write meanwhile wait for the next sync.
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
    const int error = ::fdatasync(entries_.segment.get()) == 0 ? 0 : errno;
    lock.lock();
    syncing_ = false;
    if (error != 0)
      fail(error);
    else
      synced_ = covered;
    sync_done_.notify_all();
  }
  return 0;
}

void Appender::move_to(Fd next) noexcept {
  const std::unique_lock nothing_on_its_way(moving_);
  entries_.segment = std::move(next);
}

}  // namespace agentrun::journal
