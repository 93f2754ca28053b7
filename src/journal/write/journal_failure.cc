// Ends a journal that cannot be written any more: every writer is dead, and the reason is to be recorded.
#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>
#include <sys/stat.h>

#include "journal/format/run_files.h"
#include "journal/write/run_state.h"

namespace agentrun::journal {

bool Run::fail(const std::string& run_id, std::string_view error, std::string_view what) noexcept {
  State& s = *state_;
  bool written = false;
  // Each step is worth trying even if the previous one failed.
  const auto attempt = [](auto&& step) noexcept {
    try {
      step();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  s.hashes.reset();
  std::uint64_t torn = 0;
  const auto finish_segment = [&] {
    attempt([&] { s.absorb_segment(); });
    attempt([&] { s.remove_torn(torn); });
    for (unsigned ended = s.segment; segment_ending(); ++ended) {
      attempt([&] { s.advance(); });
      if (s.segment == ended) break;
      attempt([&] { s.remove_torn(torn); });
    }
  };
  finish_segment();
  attempt([&] { s.restore(); });
  written = attempt([&] { s.write_fail_record(run_id, error, what, torn); });
  finish_segment();
  attempt([&] { sign(boot_clock_ns()); });
  return written;
}

/// Removes from the end of the segment half a record, which no writer relied on, or what somebody else wrote.
void Run::State::remove_torn(std::uint64_t& torn) {
  struct stat st {};
  check(::fstat(entries.get(), &st), "fstat", files::segment(segment));
  if (st.st_size <= offset) return;
  torn += static_cast<std::uint64_t>(st.st_size - offset);
  check(::ftruncate(entries.get(), offset), "ftruncate", files::segment(segment));
}

/// Writes records again that were written and are not in the tree, because somebody else wrote between them or removed
/// them. Every writer is dead.
void Run::State::restore() {
  std::string lost;
  for (const auto& ledger : ledgers) lost += ledger->rest();
  if (lost.empty()) return;
  const ssize_t n = ::pwrite(entries.get(), lost.data(), lost.size(), offset);
  absorb_segment();
  if (n < 0 || static_cast<std::size_t>(n) != lost.size()) throw SysError(EIO, "write", files::segment(segment));
}

/// Opens the file for the last segment. Anything may be in the place of the reserve.
Fd Run::State::fail_segment(const std::string& name) const {
  const std::string reserve = (path.parent_path().parent_path() / files::reserve).string();
  try {
    if (::renameat(AT_FDCWD, reserve.c_str(), directory.get(), name.c_str()) == 0)
      return open_regular(directory.get(), name, O_RDWR);
  } catch (const SysError&) {
    ::unlinkat(directory.get(), name.c_str(), 0);
  }
  return files::make(directory, name, O_RDWR);
}

/// The reserve becomes the last segment, because its blocks are allocated. If another run has taken it, a new file is
/// tried.
void Run::State::write_fail_record(const std::string& run_id, std::string_view error, std::string_view what,
                                   std::uint64_t torn) {
  Record record;
  record.begin();
  record.text("errno", error).text("run", run_id);
  record.word("t", static_cast<std::uint64_t>(wall_clock_ns())).word("tb", static_cast<std::uint64_t>(boot_clock_ns()));
  record.word("torn_bytes", torn).text("type", "journal.fail").text("what", what);
  const std::string_view line = record.line();
  fail_line = line;
  const std::string name = files::segment(open_segment + 1);
  next_entries = fail_segment(name);
  ++open_segment;
  const int fd = next_entries.get();
  const ssize_t n = ::pwrite(fd, line.data(), line.size(), 0);
  const int failed = n < 0 ? errno : static_cast<std::size_t>(n) == line.size() ? 0 : EIO;
  check(::ftruncate(fd, failed == 0 ? n : 0), "ftruncate", name);
  if (failed != 0) throw SysError(failed, "write", name);
}

}  // namespace agentrun::journal
