// Checks the time stamps of a journal, makes requests for them and stores replies.
#include "journal/verify/stamps.h"

#include <agentrun/journal/stamp.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <set>

#include "journal/format/encode.h"
#include "journal/format/note.h"
#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {

constexpr std::size_t max_stamps = 256;  // of one run
constexpr std::string_view prefix = "stamp.";
constexpr std::string_view note_suffix = ".note";
constexpr std::string_view reply_suffix = ".tsr";

std::string name_of(std::uint64_t records, std::string_view suffix) {
  return std::string(prefix) + std::to_string(records) + std::string(suffix);
}

/// The N of all stamp.N.note and stamp.N.tsr, in order; max_stamps + 1 of them if there are more.
std::set<std::uint64_t> numbers(const Fd& directory) {
  std::set<std::uint64_t> found;
  Fd again(check(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", "."));
  const std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })> entries(::fdopendir(again.get()));
  if (!entries) throw_errno("fdopendir", ".");
  (void)again.release();
  while (found.size() <= max_stamps) {
    errno = 0;
    const dirent* entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    std::string_view name = entry->d_name;
    if (!name.starts_with(prefix) || !(name.ends_with(note_suffix) || name.ends_with(reply_suffix))) continue;
    name.remove_prefix(prefix.size());
    if (const auto number = decode_decimal(name.substr(0, name.rfind('.')))) found.insert(*number);
  }
  if (errno != 0) throw_errno("readdir", ".");
  return found;
}

std::optional<Checkpoint> head_in(std::string_view note) {
  const auto parsed = take_note(note);
  return parsed && note.empty() ? parse_checkpoint(parsed->text) : std::nullopt;
}

/// A checkpoint that may have been stamped.
struct Stamped {
  std::uint64_t records = 0;
  std::string where;
};
using Known = std::map<Hash, Stamped>;

Known known_checkpoints(const Evidence& evidence, std::span<const Anchor> notes, std::span<const Anchor> anchors) {
  Known known;
  for (const auto* list : {&evidence.newest, &evidence.epochs, &evidence.recent}) {
    for (const StoredCheckpoint& stored : *list)
      known.try_emplace(sha256(stored.raw), Stamped{stored.checkpoint.size, stored.where});
  }
  for (const auto& list : {notes, anchors}) {
    for (const Anchor& anchor : list) {
      if (const auto head = head_in(anchor.note))
        known.try_emplace(sha256(anchor.note), Stamped{head->size, anchor.where});
    }
  }
  return known;
}

/// Reports a valid stamp.
void report_stamp(const Stamp& stamp, const std::string& where, const Stamped& what, Findings& findings) {
  const std::string said = "the checkpoint of " + std::to_string(what.records) + " records existed at " + stamp.time +
                           ", according to " + stamp.authority;
  if (stamp.vouched == Vouched::untrusted)
    findings.stranger("V6", where, said + ", whose certificate no trusted authority issued");
  else
    findings.remark("V6", where, said + (stamp.vouched == Vouched::trusted ? "" : " (not checked: use --tsa-ca)"));
}

void judge_stored(const Anchor& reply, const std::vector<Anchor>& notes, std::string_view authorities,
                  Findings& findings) {
  const auto stamp = read_stamp(reply.stamp, authorities);
  const std::string note = reply.where.substr(0, reply.where.size() - reply_suffix.size()) + std::string(note_suffix);
  const auto of = std::ranges::find(notes, note, &Anchor::where);
  if (!stamp)
    findings.fault("V7", reply.where, "not a granted time stamp");
  else if (stamp->vouched == Vouched::broken)
    findings.fault("V6", reply.where, "its signature is invalid");
  else if (of == notes.end() || sha256(of->note) != stamp->imprint)
    findings.fault("V6", reply.where, "it does not stamp the bytes of " + note);
  else
    report_stamp(*stamp, reply.where, {head_in(of->note)->size, note}, findings);
}

void judge_given(const Anchor& reply, const Known& known, std::string_view authorities, Findings& findings) {
  const std::string source = "get it from its source again";
  const auto stamp = read_stamp(reply.stamp, authorities);
  if (!stamp) throw Refusal(reply.where + " is not a granted time stamp", source);
  if (stamp->vouched == Vouched::broken) throw Refusal(reply.where + ": its signature is invalid", source);
  const auto of = known.find(stamp->imprint);
  if (of == known.end()) {
    throw Refusal(reply.where + " of " + stamp->time + " stamps none of the known checkpoints (it is of SHA-256 " +
                      hex(stamp->imprint) + ")",
                  "add the stamped checkpoint with --against: it shows whether the journal contradicts it");
  }
  report_stamp(*stamp, reply.where, of->second, findings);
}

}  // namespace

StoredStamps read_stamps(const Fd& directory, const std::string& origin, Findings& findings) {
  StoredStamps stored;
  const auto all = numbers(directory);
  if (all.size() > max_stamps)
    findings.fault("V7", "stamps", "more than " + std::to_string(max_stamps) + " time stamps");
  for (const std::uint64_t number : all) {
    const std::string note = name_of(number, note_suffix);
    const std::string reply = name_of(number, reply_suffix);
    if (auto bytes = read_run_file(directory, note, max_note, findings)) {
      const auto head = head_in(*bytes);
      if (head && head->origin != origin)
        findings.fault("V1", note, "a checkpoint of another journal: " + head->origin);
      else if (head && head->size == number)
        stored.notes.push_back({.where = note, .origin = {}, .note = std::move(*bytes), .in_run = true});
      else
        findings.fault("V7", note, "not a checkpoint of " + std::to_string(number) + " records");
    }
    if (auto bytes = read_run_file(directory, reply, max_stamp, findings))
      stored.replies.push_back({.where = reply, .origin = {}, .stamp = std::move(*bytes), .in_run = true});
  }
  return stored;
}

void judge_stamps(const StoredStamps& stored, const Evidence& evidence, std::span<const Anchor> anchors,
                  std::string_view authorities, Findings& findings) {
  for (const Anchor& reply : stored.replies) judge_stored(reply, stored.notes, authorities, findings);
  if (std::ranges::all_of(anchors, &std::string::empty, &Anchor::stamp)) return;
  const Known known = known_checkpoints(evidence, stored.notes, anchors);
  for (const Anchor& anchor : anchors) {
    if (!anchor.stamp.empty()) judge_given(anchor, known, authorities, findings);
  }
}

Query ask_stamp(const std::filesystem::path& run_directory) {
  const Fd directory = files::open_directory(run_directory.string());
  const auto note = files::try_read(directory, files::checkpoint, max_note);
  const auto head = note ? head_in(*note) : std::nullopt;
  if (!head) throw Refusal("the run has no checkpoint to stamp", "agent-run journal verify shows why");
  if (numbers(directory).size() >= max_stamps)
    throw Refusal("the run already has " + std::to_string(max_stamps) + " time stamps", "verifiers read no more");
  const std::string name = name_of(head->size, note_suffix);
  const auto before = files::try_read(directory, name, max_note);
  // The closing checkpoint may cover as many records as the one before it: do not replace a note that has a reply.
  const bool stamped = files::try_open(directory, name_of(head->size, reply_suffix)).has_value();
  if (stamped)
    throw Refusal("the newest checkpoint, of " + std::to_string(head->size) + " records, is already stamped",
                  "agent-run journal verify --tsa-ca FILE");
  if (before != note) files::replace(directory, name, *note, files::Sync::data);
  check(::fsync(directory.get()), "fsync", run_directory.string());
  return {.records = head->size, .der = stamp_query(*note), .file = run_directory / name_of(head->size, ".tsq")};
}

StoredStamp store_stamp(const std::filesystem::path& run_directory, std::string_view reply,
                        std::string_view authorities) {
  const std::string source = "ask the authority again with agent-run journal stamp";
  const auto stamp = read_stamp(reply, authorities);
  if (!stamp) throw Refusal("not a granted time stamp", "openssl ts -reply -in FILE -text shows what it is");
  if (stamp->vouched == Vouched::broken)
    throw Refusal("the signature of the time stamp is invalid, or its certificate is missing", source);
  if (stamp->vouched == Vouched::untrusted)
    throw Refusal("the time stamp is by " + stamp->authority + ", whose certificate no trusted authority issued",
                  "--tsa-ca must contain the certificate of the issuer");
  const Fd directory = files::open_directory(run_directory.string());
  for (const std::uint64_t number : numbers(directory)) {
    const auto note = files::try_read(directory, name_of(number, note_suffix), max_note);
    if (!note || sha256(*note) != stamp->imprint) continue;
    const std::string name = name_of(number, reply_suffix);
    const auto there = files::try_read(directory, name, max_stamp);
    if (there && *there != reply)
      throw Refusal("there is already another time stamp of these " + std::to_string(number) + " records",
                    "agent-run journal verify --tsa-ca FILE");
    if (!there) files::replace(directory, name, reply, files::Sync::data);
    check(::fsync(directory.get()), "fsync", run_directory.string());
    return {.file = run_directory / name, .records = number, .stamp = *stamp};
  }
  throw Refusal("the time stamp is not of the requested checkpoint (it is of SHA-256 " + hex(stamp->imprint) + ")",
                source);
}

}  // namespace agentrun::journal
