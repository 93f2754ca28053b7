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

/// The N of all stamp.N.note and stamp.N.tsr, smallest first; one more than max_stamps when there are more.
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

/// A checkpoint that a stamp may be of.
struct Stamped {
  std::uint64_t records = 0;
  std::string where;
};
using Known = std::map<Hash, Stamped>;

Known known_checkpoints(const Evidence& evidence, std::span<const Anchor> notes, std::span<const Anchor> anchors) {
  Known known;
  for (const auto* list : {&evidence.newest, &evidence.epochs, &evidence.recent}) {
    for (const Kept& kept : *list) known.try_emplace(sha256(kept.raw), Stamped{kept.checkpoint.size, kept.where});
  }
  for (const auto& list : {notes, anchors}) {
    for (const Anchor& anchor : list) {
      if (const auto head = head_in(anchor.note))
        known.try_emplace(sha256(anchor.note), Stamped{head->size, anchor.where});
    }
  }
  return known;
}

/// What a sound one says.
void tell(const Stamp& stamp, const std::string& where, const Stamped& what, Findings& findings) {
  const std::string said = "the checkpoint of " + std::to_string(what.records) + " records was there at " + stamp.time +
                           ", says " + stamp.authority;
  if (stamp.vouched == Vouched::untrusted)
    findings.stranger("V6", where, said + ", for whom no trusted authority answers");
  else
    findings.remark("V6", where, said + (stamp.vouched == Vouched::trusted ? "" : " (whoever that is: --tsa-ca)"));
}

void judge_kept(const Anchor& reply, const std::vector<Anchor>& notes, std::string_view authorities,
                Findings& findings) {
  const auto stamp = read_stamp(reply.stamp, authorities);
  const std::string note = reply.where.substr(0, reply.where.size() - reply_suffix.size()) + std::string(note_suffix);
  const auto of = std::ranges::find(notes, note, &Anchor::where);
  if (!stamp)
    findings.fault("V7", reply.where, "not a time stamp that was granted");
  else if (stamp->vouched == Vouched::broken)
    findings.fault("V6", reply.where, "its signature does not hold");
  else if (of == notes.end() || sha256(of->note) != stamp->imprint)
    findings.fault("V6", reply.where, "it is not of the bytes of " + note);
  else
    tell(*stamp, reply.where, {head_in(of->note)->size, note}, findings);
}

void judge_given(const Anchor& reply, const Known& known, std::string_view authorities, Findings& findings) {
  const std::string source = "take it from its source again";
  const auto stamp = read_stamp(reply.stamp, authorities);
  if (!stamp) throw Refusal(reply.where + " is not a time stamp that was granted", source);
  if (stamp->vouched == Vouched::broken) throw Refusal(reply.where + ": its signature does not hold", source);
  const auto of = known.find(stamp->imprint);
  if (of == known.end()) {
    throw Refusal(
        reply.where + " of " + stamp->time + " is of other bytes than any checkpoint that is known here (SHA-256 " +
            hex(stamp->imprint) + ")",
        "give the checkpoint that was stamped with --against, too: it tells whether the journal contradicts it");
  }
  tell(*stamp, reply.where, of->second, findings);
}

}  // namespace

KeptStamps read_stamps(const Fd& directory, const std::string& origin, Findings& findings) {
  KeptStamps kept;
  const auto all = numbers(directory);
  if (all.size() > max_stamps)
    findings.fault("V7", "stamps", "more than " + std::to_string(max_stamps) + " time stamps");
  for (const std::uint64_t number : all) {
    const std::string note = name_of(number, note_suffix);
    const std::string reply = name_of(number, reply_suffix);
    if (auto bytes = read_kept_file(directory, note, max_note, findings)) {
      const auto head = head_in(*bytes);
      if (head && head->origin != origin)
        findings.fault("V1", note, "the checkpoint of another journal: " + head->origin);
      else if (head && head->size == number)
        kept.notes.push_back({.where = note, .origin = {}, .note = std::move(*bytes), .in_run = true});
      else
        findings.fault("V7", note, "not a checkpoint of " + std::to_string(number) + " records");
    }
    if (auto bytes = read_kept_file(directory, reply, max_stamp, findings))
      kept.replies.push_back({.where = reply, .origin = {}, .stamp = std::move(*bytes), .in_run = true});
  }
  return kept;
}

void judge_stamps(const KeptStamps& kept, const Evidence& evidence, std::span<const Anchor> anchors,
                  std::string_view authorities, Findings& findings) {
  for (const Anchor& reply : kept.replies) judge_kept(reply, kept.notes, authorities, findings);
  if (std::ranges::all_of(anchors, &std::string::empty, &Anchor::stamp)) return;
  const Known known = known_checkpoints(evidence, kept.notes, anchors);
  for (const Anchor& anchor : anchors) {
    if (!anchor.stamp.empty()) judge_given(anchor, known, authorities, findings);
  }
}

Query ask_stamp(const std::filesystem::path& run_directory) {
  const Fd directory = files::open_directory(run_directory.string());
  const auto note = files::try_read(directory, files::checkpoint, max_note);
  const auto head = note ? head_in(*note) : std::nullopt;
  if (!head) throw Refusal("the run has no checkpoint that could be stamped", "agent-run journal verify says why");
  if (numbers(directory).size() >= max_stamps)
    throw Refusal("the run has " + std::to_string(max_stamps) + " time stamps", "no verifier reads more");
  const std::string name = name_of(head->size, note_suffix);
  const auto before = files::try_read(directory, name, max_note);
  // The closing checkpoint may cover as many records as the one before it: what a reply is kept for stays.
  const bool stamped = files::try_open(directory, name_of(head->size, reply_suffix)).has_value();
  if (stamped)
    throw Refusal("its newest checkpoint, of " + std::to_string(head->size) + " records, is stamped",
                  "agent-run journal verify --tsa-ca FILE");
  if (before != note) files::replace(directory, name, *note, files::Sync::data);
  check(::fsync(directory.get()), "fsync", run_directory.string());
  return {.records = head->size, .der = stamp_query(*note), .file = run_directory / name_of(head->size, ".tsq")};
}

KeptStamp keep_stamp(const std::filesystem::path& run_directory, std::string_view reply, std::string_view authorities) {
  const std::string source = "ask the authority again: agent-run journal stamp";
  const auto stamp = read_stamp(reply, authorities);
  if (!stamp) throw Refusal("not a time stamp that was granted", "openssl ts -reply -in FILE -text says what it is");
  if (stamp->vouched == Vouched::broken)
    throw Refusal("the time stamp's signature does not hold, or its certificate is not in it", source);
  if (stamp->vouched == Vouched::untrusted)
    throw Refusal("the time stamp is by " + stamp->authority + ", for whom no trusted authority answers",
                  "--tsa-ca must hold the certificate that issued the signer's");
  const Fd directory = files::open_directory(run_directory.string());
  for (const std::uint64_t number : numbers(directory)) {
    const auto note = files::try_read(directory, name_of(number, note_suffix), max_note);
    if (!note || sha256(*note) != stamp->imprint) continue;
    const std::string name = name_of(number, reply_suffix);
    const auto there = files::try_read(directory, name, max_stamp);
    if (there && *there != reply)
      throw Refusal("another time stamp of these " + std::to_string(number) + " records is kept",
                    "agent-run journal verify --tsa-ca FILE");
    if (!there) files::replace(directory, name, reply, files::Sync::data);
    check(::fsync(directory.get()), "fsync", run_directory.string());
    return {.file = run_directory / name, .records = number, .stamp = *stamp};
  }
  throw Refusal(
      "the time stamp is of other bytes than those that were asked about (SHA-256 " + hex(stamp->imprint) + ")",
      source);
}

}  // namespace agentrun::journal
