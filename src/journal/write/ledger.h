// What one process has appended, as it says itself: its lines, in a ring of memory that it shares with the sealer and
// with nobody else. A segment is a file, and other programs of the user can write it; a record is sealed when the file
// has it and a ledger too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentrun::journal {

/// One writer, whose threads take turns, and one sealer, in the process that made the ledger or in children that it
/// forked before it made another one: the memory is not there in later ones. The sealer believes nothing but its own
/// place: a writer can only make it refuse.
class Ledger {
 public:
  static constexpr std::size_t capacity = 8U << 20;

  Ledger();  // throws SysError
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  ~Ledger();

  // ---- the writer

  /// `line` is about to be written. Waits while the sealer is behind by `capacity`, until `stop` is not 0. Gives 0, or
  /// that; ENOBUFS in the sealer's own process, which would wait for itself.
  [[nodiscard]] int begin(std::string_view line, const std::atomic<int>& stop) noexcept;
  /// What was begun is in the file.
  void finish() noexcept;
  /// True once, until the sealer looked: it should come before its time.
  [[nodiscard]] bool wants_sealer() noexcept;

  // ---- the sealer

  /// Bytes that are in the file, as far as the writer knows. Looked at before the file is read, it is what has to be
  /// found there.
  [[nodiscard]] std::uint64_t finished() const noexcept;
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  /// Whether the writer's next line is this one (with its LF); then it is taken.
  [[nodiscard]] bool take(std::string_view line) noexcept;
  /// Whether its next line begins so: it is being written.
  [[nodiscard]] bool announces(std::string_view bytes) const noexcept;
  /// The writer may call again.
  void hear() noexcept;
  /// The whole lines that were finished and not taken. Of a writer that is dead.
  [[nodiscard]] std::string rest() const;
  /// Children that are forked from now on do not have it.
  void withhold_from_children() noexcept;

 private:
  struct Shared;
  [[nodiscard]] bool equals(std::uint64_t at, std::string_view bytes) const noexcept;

  Shared* shared_;
  int sealer_;               // its process
  std::uint64_t begun_ = 0;  // the writer's own place
  std::uint64_t taken_ = 0;  // the sealer's own place
};

}  // namespace agentrun::journal
