// The change of segments and of keys in a long journal.
#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <sys/stat.h>

#include "journal/format/run_files.h"
#include "journal/write/run_state.h"

namespace agentrun::journal {

// ---- segments -------------------------------------------------------------------------------------------------------

bool Run::segment_ending() const noexcept {
  return state_->segment != state_->open_segment;
}

bool Run::segment_full() const noexcept {
  return !segment_ending() && state_->offset >= state_->limits.segment_bytes;
}

void Run::begin_segment() {
  State& s = *state_;
  if (segment_ending()) return;
  s.next_entries = files::make(s.directory, files::segment(s.open_segment + 1), O_RDWR);
  ++s.open_segment;
}

void Run::end_segment() {
  State& s = *state_;
  if (!segment_ending()) return;
  s.absorb_segment();
  // A later fdatasync(2) of the open segment does not cover this one.
  check(::fdatasync(s.entries.get()), "fdatasync", files::segment(s.segment));
  s.advance();
}

/// Moves from the segment that has ended to the open one.
void Run::State::advance() {
  struct stat st {};
  check(::fstat(entries.get(), &st), "fstat", files::segment(segment));
  if (st.st_size != offset) throw SysError(EIO, "absorb", files::segment(segment));
  ended.push_back({.dev = st.st_dev, .ino = st.st_ino, .size = offset});
  entries = std::move(next_entries);
  ++segment;
  offset = 0;
  absorb_segment();
}

Fd Run::records() const {
  return Fd(check(::fcntl(state_->entries.get(), F_DUPFD_CLOEXEC, 0), "fcntl", files::segment(state_->segment)));
}

// ---- keys -----------------------------------------------------------------------------------------------------------

unsigned Run::epoch() const noexcept {
  return state_->epoch_number;
}

bool Run::epoch_due(std::int64_t boot_ns) const noexcept {
  const State& s = *state_;
  if (!s.epoch || s.next) return false;
  return s.tree.size() - s.epoch_size >= s.limits.epoch_records || boot_ns - s.epoch_at >= s.limits.epoch_ns;
}

std::string Run::begin_epoch(const std::string& run_id) {
  State& s = *state_;
  Key key = Key::generate(s.origin + "/e" + std::to_string(s.epoch_number + 1));
  Record record;
  record.begin();
  record.number("epoch", s.epoch_number + 1).text("run", run_id);
  record.word("t", static_cast<std::uint64_t>(wall_clock_ns())).word("tb", static_cast<std::uint64_t>(boot_clock_ns()));
  record.text("type", "key.rotate").text("vkey", key.vkey());
  std::string line(record.line());
  s.next = State::Next{.key = std::move(key), .line = line.substr(0, line.size() - 1)};
  return line;
}

/// The last record of the tree announces the next key. The present key signs the tree and is erased.
void Run::State::turn_epoch() {
  const std::array<const Key*, 1> keys{&*epoch};
  const std::string note = sign_head(keys);
  turning = true;
  append(files::epochs, note);
  files::replace(directory, files::checkpoint, note, files::Sync::no);
  note_files.erase(files::recent);
  ::unlinkat(directory.get(), files::recent, 0);  // of the ended epoch; harmless if this fails
  epoch = std::move(next->key);
  next.reset();
  turning = false;
  ++epoch_number;
  epoch_size = signed_size = recent_size = tree.size();
  epoch_at = signed_at = boot_clock_ns();
}

}  // namespace agentrun::journal
