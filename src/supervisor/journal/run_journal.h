// The journal of one run, as the supervisor's loop keeps it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <agentrun/journal.h>
#include <agentrun/journal/index.h>
#include <agentrun/journal/redact.h>
#include <agentrun/supervisor.h>
#include "supervisor/journal/supervisor_records.h"
#include "supervisor/run/syncer.h"

namespace agentrun::supervisor {

/// Opens it, seals it, lets segments and keys follow each other, closes it, or says why it cannot. All calls throw
/// SysError (or Refusal) when the journal cannot be kept: then nothing may be allowed any more.
class RunJournal {
 public:
  RunJournal(const Prepared& prepared, const std::vector<std::string>& argv);

  [[nodiscard]] const std::filesystem::path& directory() const { return run_.directory(); }
  [[nodiscard]] journal::Durability durability() const noexcept { return durability_; }
  [[nodiscard]] const std::string& origin() const noexcept { return run_.origin(); }
  [[nodiscard]] const journal::Key& identity() const noexcept { return identity_; }
  [[nodiscard]] const journal::Redactor& redactor() const noexcept { return redactor_; }
  /// A sentence for people, when the index of journals is not what it was; empty once it was taken.
  [[nodiscard]] std::string take_notice() { return std::exchange(notice_, {}); }
  /// For the supervisor's own records.
  [[nodiscard]] journal::Appender& entries() noexcept { return entries_; }

  /// For a process that appends, which is forked before the next one is asked for.
  [[nodiscard]] journal::Entries appender() { return run_.appender(); }
  /// Readable when seal() is wanted at once.
  [[nodiscard]] const Fd& wake() const noexcept { return run_.wake(); }
  /// Where such a process is told of the next segment (journal::segment_message): a socket that outlives this. Before
  /// the first seal().
  void add_writer(const Fd& channel) { writers_.push_back(&channel); }
  /// One of them has moved to the segment that it was told of.
  void moved();

  /// One turn: absorbs, signs, begins what is due. At least every 100 ms.
  void seal();
  /// How many records there are now.
  std::uint64_t records() { return run_.absorb(); }
  /// Appends what was lost to sinks.
  void record(const std::vector<Lost>& lost) {
    for (const Lost& one : lost) append(lost_line(id_, one));
  }
  /// The end. Every process that appends is dead.
  void close(Closing closing);
  /// The end without journal.close: signs what is there.
  void leave();
  /// The end of a journal that cannot be written: journal.fail, as far as that is possible. Never throws. Behind the
  /// closing checkpoint nothing is written: what failed then is only the index, which the next start mends.
  void fail(std::string_view errno_name, std::string_view what) noexcept {
    if (!closed_) (void)run_.fail(id_, errno_name, what);
  }

 private:
  void open(const Prepared& prepared, const std::vector<std::string>& argv);
  void append(const std::string& line);
  void turn_segment();
  void tick(std::int64_t now);

  std::filesystem::path state_;
  std::string id_;
  journal::Durability durability_;
  journal::Redactor redactor_;
  journal::Key identity_;
  journal::Run run_;
  journal::IndexHead index_head_;
  std::string notice_;
  journal::Appender entries_;
  std::vector<const Fd*> writers_;
  std::size_t unmoved_ = 0;
  std::uint64_t seen_ = 0;  // records, when last looked
  std::int64_t seen_at_ = 0;
  bool closed_ = false;
  Syncer syncer_;
};

}  // namespace agentrun::supervisor
