// Appending records to the open segment of a run, from any process that the supervisor lets write.
#pragma once

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <utility>

#include <agentrun/sys/fd.h>

namespace agentrun::journal {

/// What append() waits for: the page cache (survives kill -9) or the disk (survives a power failure too).
enum class Durability : std::uint8_t { page_cache, synced };

/// What one process has appended, in memory that it shares with the sealer alone.
class Ledger;

/// What a process needs to append. Run::appender() makes it.
struct Entries {
  Fd segment;                        // O_APPEND descriptor of the open segment
  Fd wake;                           // wakes the sealer before its next interval
  std::shared_ptr<Ledger> ledger{};  // null: nobody seals these entries
};

/// Appends lines to the open segment: one write(2) a record on an O_APPEND descriptor. Thread-safe.
class Appender {
 public:
  explicit Appender(Entries entries, Durability durability = Durability::page_cache)
      : entries_(std::move(entries)), durability_(durability) {}
  /// Returns 0 or the errno (EIO for a short write). With `synced` it returns when the record is on disk; threads that
  /// append at the same time share one fdatasync(2). After an error every further call returns that errno and writes
  /// nothing: no record may follow half a record, and a failed fsync is not repeated (journal-format.md §4). Blocks
  /// while the sealer is some megabytes behind.
  [[nodiscard]] int append(std::string_view line) noexcept;
  /// For the last records: append() no longer waits for the disk, settle() does. Call it from one thread while no other
  /// thread appends.
  void defer() noexcept { deferred_ = true; }
  [[nodiscard]] int settle() noexcept;
  /// Rotation: further lines go to `next`. Returns when no line is on its way to the old segment, which may then end.
  void move_to(Fd next) noexcept;
  /// Ends writing. Returns when no line is on its way; every further append() returns `stopped`.
  void stop() noexcept;
  static constexpr int stopped = ECANCELED;

 private:
  int write(std::string_view line) noexcept;
  int fail(int error) noexcept;
  int sync() noexcept;

  Entries entries_;
  Durability durability_;
  bool deferred_ = false;
  std::shared_mutex moving_;  // held shared while a line is on its way
  std::mutex writing_;        // while it is written
  std::atomic<int> error_{0};
  std::atomic<std::uint64_t> written_{0};
  std::mutex sync_mutex_;
  std::condition_variable sync_done_;
  std::uint64_t synced_ = 0;  // of written_; guarded by sync_mutex_, like syncing_
  bool syncing_ = false;
};

/// The supervisor's message to a process that appends, with one descriptor, when a segment is full. The process calls
/// Appender::move_to() with it and answers with ServiceEvent::Kind::moved. The old segment ends when all have answered.
inline constexpr std::string_view segment_message = "segment";

}  // namespace agentrun::journal
