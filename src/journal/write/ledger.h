// The lines that one process has appended, in a ring of memory that it shares with the sealer alone. Other programs of
// the user can write to a segment, because it is a file; so a record is sealed only if a ledger has it too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentrun::journal {

/// There is one writer, whose threads take turns, and one sealer. The writer is the process that made the ledger, or a
/// child that it forked before it made the next ledger; later children do not have the memory. The sealer trusts only
/// its own position: a writer can make it refuse, nothing else.
class Ledger {
 public:
  static constexpr std::size_t capacity = 8U << 20;

  Ledger();  // throws SysError
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  ~Ledger();

  // ---- the writer

  /// Announces a line. Blocks while the sealer is behind by `capacity`. Returns 0, `stop` once that is not 0, or
  /// ENOBUFS in the sealer's own process, which would wait for itself.
  [[nodiscard]] int begin(std::string_view line, const std::atomic<int>& stop) noexcept;
  /// The announced line is in the file.
  void finish() noexcept;
  /// True when the sealer should come before its next interval; once, until the sealer accepts the next call.
  [[nodiscard]] bool wants_sealer() noexcept;

  // ---- the sealer

  /// Bytes that the writer has finished. Read it before the file: those bytes must then be found there.
  [[nodiscard]] std::uint64_t finished() const noexcept;
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  /// True when this is the writer's next line (with its LF). It is taken then.
  [[nodiscard]] bool take(std::string_view line) noexcept;
  /// True when the writer's next line begins with `bytes`: it is being written.
  [[nodiscard]] bool announces(std::string_view bytes) const noexcept;
  /// Lets wants_sealer() return true again.
  void accept_next_call() noexcept;
  /// The complete lines that were finished and not taken, of a writer that is dead.
  [[nodiscard]] std::string rest() const;
  /// Children that are forked from now on do not have the memory.
  void withhold_from_children() noexcept;

 private:
  struct Shared;
  [[nodiscard]] bool equals(std::uint64_t at, std::string_view bytes) const noexcept;

  Shared* shared_;
  int sealer_;               // its process
  std::uint64_t begun_ = 0;  // the writer's own position
  std::uint64_t taken_ = 0;  // the sealer's own position
};

}  // namespace agentrun::journal
