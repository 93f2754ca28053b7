// What a run writes into the index of journals: that it began, how it ended, what became of interrupted runs.
#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <sys/file.h>

#include <algorithm>

#include "journal/format/note.h"
#include "journal/format/run_files.h"
#include "journal/index/index_files.h"
#include "journal/index/index_writer.h"

namespace agentrun::journal {

namespace {

/// The supervisor holds the lock of a run's directory for as long as it lives.
enum class RunState : std::uint8_t { running, over, missing };
RunState state_of(const std::filesystem::path& run_directory) {
  const Fd directory(::open(run_directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return errno == ENOENT ? RunState::missing : RunState::over;
  return ::flock(directory.get(), LOCK_SH | LOCK_NB) == 0 ? RunState::over : RunState::running;
}

void append_missing(index::Writer& index, const std::string& run, const std::string& origin) {
  Record record;
  record.begin();
  record.text("origin", origin).text("run", run);
  index::times(record);
  record.text("type", "run.missing");
  index.append(record);
}

/// The verdict on an interrupted run, and the fault of one that is not sound.
struct Verdict {
  Report report{.status = Status::tampered};
  std::string fault;
  [[nodiscard]] bool is_sound() const {
    return report.status == Status::complete || report.status == Status::incomplete;
  }
};

Verdict verify_interrupted(const std::filesystem::path& directory, const Key& identity, const Anchor& began) {
  Verdict verdict;
  try {
    verdict.report = verify(directory, std::vector<std::string>{identity.vkey()}, {.anchors = {&began, 1}});
  } catch (const std::exception& e) {  // a pipe in place of a file, a damaged note: must not prevent the next run
    verdict.fault = e.what();
    return verdict;
  }
  if (verdict.is_sound() || verdict.report.findings.empty()) return verdict;
  const Finding& first = verdict.report.findings[0];
  verdict.fault = first.rule + " " + first.where + ": " + first.message;
  return verdict;
}

/// Records what became of a run that began and did not end. Nothing is signed about the content of a journal that does
/// not verify, only that it was found damaged.
void recover(index::Writer& index, const std::filesystem::path& state_directory, const Key& identity,
             const OpenRun& run) {
  const auto directory = state_directory / files::runs / run.id;
  const RunState state = state_of(directory);
  if (state == RunState::running) return;
  const std::string origin = identity_name(identity) + "/" + run.id;
  if (state == RunState::missing) return append_missing(index, run.id, origin);
  const Anchor began{.where = "run.open", .origin = origin, .first_key = run.first_key};
  const Verdict verdict = verify_interrupted(directory, identity, began);
  const Report& report = verdict.report;
  const bool sound = verdict.is_sound();
  Record record;
  record.begin();
  if (!sound) record.text("fault", verdict.fault);
  record.text("origin", origin);
  if (sound) record.text("root", base64(report.root));
  record.text("run", run.id);
  if (sound) record.word("signed", report.signed_records).word("size", report.records);
  index::times(record);
  if (sound) record.word("torn_bytes", report.torn_bytes);
  record.text("type", "journal.recovered");
  if (sound) record.word("unsigned", report.records - std::min(report.records, report.signed_records));
  index.append(record);
}

std::string notice_of(const index::Writer& index, const std::filesystem::path& state_directory) {
  if (index.set_aside().empty()) return {};
  return "the index of journals was damaged; it was moved to " + (state_directory / index.set_aside()).string() +
         " and a new one was started. Runs removed before now can no longer be detected: agent-run journal verify "
         "--index";
}

}  // namespace

IndexOpened index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run) {
  index::Writer index(state_directory, identity);
  const std::string id = run.directory().filename().string();
  const std::vector<OpenRun> unfinished = index.open_runs();
  for (const OpenRun& other : unfinished) recover(index, state_directory, identity, other);
  IndexOpened opened{.before = index.last(), .head = {}, .notice = notice_of(index, state_directory)};
  Record record;
  record.begin();
  record.text("certificate", run.certificate()).text("origin", run.origin()).number("pid", ::getpid()).text("run", id);
  index::times(record);
  record.text("type", "run.open").text("vkey", run.vkeys().at(1));
  index.append(record);
  opened.head = index.store();
  return opened;
}

std::string index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                        std::string_view closing_note, const IndexHead& held) {
  std::string_view rest = closing_note;
  const auto note = take_note(rest);
  const auto head = note ? parse_checkpoint(note->text) : std::nullopt;
  if (!head) throw Refusal("not a checkpoint");
  index::Writer index(state_directory, identity, held);
  Record record;
  record.begin();
  record.text("checkpoint", closing_note);
  if (!index.continues()) record.text("index_before", held.note);
  record.text("origin", run.origin()).text("root", base64(head->root));
  record.text("run", run.directory().filename().string()).word("size", head->size);
  index::times(record);
  record.text("type", "run.close");
  index.append(record);
  (void)index.store();
  if (!index.set_aside().empty()) return notice_of(index, state_directory);
  return index.continues() ? ""
                           : "the index of journals was changed by others during the run, and its record says so: "
                             "agent-run journal verify --index";
}

void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first) {
  index::Writer index(state_directory, identity);
  if (!index.set_aside().empty()) throw Refusal(notice_of(index, state_directory));
  Record record;
  record.begin();
  record.word("first", first).text("origin", identity_name(identity) + "/" + run_id).text("run", run_id);
  index::times(record);
  record.text("type", "run.pruned");
  index.append(record);
  (void)index.store();
}

}  // namespace agentrun::journal
