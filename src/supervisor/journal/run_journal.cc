// Opens, seals and closes the journal of a run.
#include "supervisor/journal/run_journal.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>

namespace agentrun::supervisor {

namespace {

constexpr std::int64_t tick_ns = 10'000'000'000;

journal::Durability durability_of(const Prepared& prepared) {
  return prepared.policy.journal().synced ? journal::Durability::synced : journal::Durability::page_cache;
}

}  // namespace

RunJournal::RunJournal(const Prepared& prepared, const std::vector<std::string>& argv)
    : state_(prepared.state_directory),
      id_(prepared.run),
      durability_(durability_of(prepared)),
      redactor_(prepared.policy.journal().redact),
      identity_(journal::load_or_make_identity(state_)),
      run_(journal::Run::create(state_, identity_, id_)),
      entries_(run_.appender(), durability_) {
  open(prepared, argv);
}

void RunJournal::open(const Prepared& prepared, const std::vector<std::string>& argv) {
  journal::IndexOpened index = journal::index_open(state_, identity_, run_);
  index_head_ = std::move(index.head);
  notice_ = std::move(index.notice);
  const Opening opening{
      .before = index.before, .argv = argv, .redactor = &redactor_, .identity = &identity_, .durability = durability_};
  int error = append_open(entries_, run_, id_, prepared, opening);
  if (error == 0) error = append_policies(entries_, id_, prepared.policy);
  if (error != 0) throw SysError(error, "write", run_.directory().string());
  seen_at_ = boot_clock_ns();
}

void RunJournal::append(const std::string& line) {
  if (const int error = entries_.append(line); error != 0) throw SysError(error, "write", run_.directory().string());
}

void RunJournal::seal() {
  const std::int64_t now = boot_clock_ns();
  run_.absorb();
  tick(now);
  if (run_.epoch_due(now)) {
    append(run_.begin_epoch(id_));
    run_.absorb();
  }
  if (run_.due(now)) {
    run_.sign(now);
    if (durability_ == journal::Durability::page_cache) syncer_.request(run_.records(), now);
  }
  if (const int error = syncer_.error(); error != 0) throw SysError(error, "fdatasync", run_.directory().string());
  turn_segment();
}

// Records that nothing happens.
void RunJournal::tick(std::int64_t now) {
  if (run_.size() != seen_) {
    seen_ = run_.size();
    seen_at_ = now;
  } else if (now - seen_at_ >= tick_ns) {
    append(tick_line(id_));
    seen_at_ = now;
  }
}

void RunJournal::turn_segment() {
  if (!run_.segment_full()) return;
  run_.begin_segment();
  const Fd next = run_.segment();
  for (const Fd* writer : writers_) send_message(*writer, journal::segment_message, {next.get()});
  unmoved_ = writers_.size();
  entries_.move_to(run_.segment());
  if (unmoved_ == 0) run_.end_segment();
}

void RunJournal::moved() {
  if (unmoved_ == 0) throw SysError(EPROTO, "move", "a segment that does not end");
  if (--unmoved_ == 0) run_.end_segment();
}

void RunJournal::close(Closing closing) {
  closing.records = run_.absorb();  // all writers are dead: the number of records before journal.close
  run_.end_segment();
  closing.records = run_.size();
  closing.decisions = run_.decisions();
  if (const int error = append_close(entries_, id_, closing); error != 0)
    throw SysError(error, "write", run_.directory().string());
  const std::string note = run_.close(durability_);
  closed_ = true;
  notice_ = journal::index_close(state_, identity_, run_, note, index_head_);
}

void RunJournal::leave() {
  run_.absorb();
  run_.end_segment();
  run_.sign(boot_clock_ns());
}

}  // namespace agentrun::supervisor
