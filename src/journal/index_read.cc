// Reading the journal of journals: what it says of a run, and whether it is whole itself.
#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>

#include <sys/file.h>

#include <set>
#include <system_error>

#include "journal/encode.h"
#include "journal/files.h"
#include "journal/findings.h"
#include "journal/index_files.h"
#include "journal/lines.h"
#include "journal/note.h"
#include "journal/stamps.h"

namespace agentrun::journal {

namespace index {

std::optional<Before> parse_words(std::string_view words) {
  const std::size_t first = words.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : words.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto size = decode_decimal(words.substr(first + 1, second - first - 1));
  Before before{.origin = std::string(words.substr(0, first)), .size = size.value_or(0)};
  if (!size || decode_base64(words.substr(second + 1), before.root) != before.root.size()) return std::nullopt;
  return before;
}

std::optional<Before> head_of(std::string_view line) {
  const auto origin = text_field(line, "origin");
  const auto size = number_field(line, "size");
  const auto root = text_field(line, "root");
  Before before;
  if (!origin || !size || *size < 0 || !root || decode_base64(*root, before.root) != before.root.size()) return std::nullopt;
  before.origin = *origin;
  before.size = static_cast<std::uint64_t>(*size);
  return before;
}

Remains examine(const std::filesystem::path& run_directory) {
  const Fd directory = files::open_directory(run_directory.string());
  LineReader lines(directory);
  Tree tree;
  for (Line line; lines.next(line);) tree.add(leaf_hash(line.data));
  Remains remains{.records = tree.size(), .torn_bytes = lines.torn_bytes(), .root = tree.root()};
  const auto content = files::try_read(directory, files::checkpoint, max_note);
  std::string_view rest = content ? std::string_view(*content) : std::string_view();
  if (const auto note = take_note(rest)) {
    if (const auto head = parse_checkpoint(note->text)) remains.signed_records = head->size;
  }
  return remains;
}

}  // namespace index

namespace {

std::optional<Fd> try_folder(const std::filesystem::path& path) {
  Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder && errno == ENOENT) return std::nullopt;
  check(folder.get(), "open", path.string());
  (void)::flock(folder.get(), LOCK_SH);  // a copy on a medium without locks has no writer either
  return folder;
}

}  // namespace

std::vector<Anchor> index_anchors(const std::filesystem::path& state_directory, std::string_view run_id) {
  std::vector<Anchor> anchors;
  const auto folder = try_folder(state_directory / index::name);
  if (!folder) return anchors;
  const std::string mark = "\"run\":\"" + std::string(run_id) + "\"";
  LineReader lines(*folder);
  for (Line line; lines.next(line);) {
    if (line.data.find(mark) == std::string_view::npos || text_field(line.data, "run") != run_id) continue;
    const std::string type = text_field(line.data, "type").value_or("");
    Anchor anchor{.where = "index record " + std::to_string(line.index), .origin = text_field(line.data, "origin").value_or("")};
    anchor.pruned = type == "run.pruned";
    if (type == "run.open") anchor.first_key = text_field(line.data, "vkey").value_or("");
    if (type == "run.close") anchor.note = text_field(line.data, "checkpoint").value_or("");
    if (const auto head = index::head_of(line.data); head && type == "journal.recovered")
      anchor.head = Checkpoint{.origin = head->origin, .size = head->size, .root = head->root};
    if (!anchor.first_key.empty() || !anchor.note.empty() || anchor.head || anchor.pruned) anchors.push_back(std::move(anchor));
  }
  return anchors;
}

namespace {

/// Which runs an index knows, and what became of them.
struct Known {
  std::set<std::string> there;  // that must be there
};

void note_run(std::string_view line, Known& known) {
  const auto run = text_field(line, "run");
  const std::string type = text_field(line, "type").value_or("");
  if (!run || !files::is_run_id(*run)) return;
  if (type == "run.open") known.there.insert(*run);
  if (type == "run.missing") known.there.erase(*run);  // it was said once
}

/// A head that others have seen, and the root that the index has at that size.
struct Seen {
  std::string where;
  Checkpoint head;
  std::optional<Hash> root;
};

std::vector<Seen> seen_by_others(std::span<const Anchor> anchors, const std::string& origin) {
  std::vector<Seen> list;
  for (const Anchor& anchor : anchors) {
    std::string_view rest = anchor.note;
    const auto note = take_note(rest);
    auto head = note ? parse_checkpoint(note->text) : std::nullopt;
    if (head && head->origin == origin) list.push_back({anchor.where, std::move(*head), std::nullopt});
  }
  return list;
}

void judge_runs(const std::filesystem::path& state_directory, const Known& known, Findings& findings) {
  std::error_code error;
  for (const std::string& id : known.there) {
    if (std::filesystem::is_directory(state_directory / files::runs / id, error)) continue;
    findings.fault("V6", "run " + id, "the index knows it, and it is not there");
  }
  for (const RunInfo& run : list_runs(state_directory)) {
    if (!known.there.contains(run.id)) findings.remark("V6", "run " + run.id, "the index does not know it");
  }
}

}  // namespace

Report verify_index(const std::filesystem::path& state_directory, std::span<const std::string> trusted,
                    const VerifyOptions& options) {
  Report report;
  Findings findings(report);
  const auto there = try_folder(state_directory / index::name);
  if (!there) throw Refusal("there is no index in " + state_directory.string(), "the first run makes it; if there are runs, it was removed");
  const Fd& folder = *there;
  const auto content = files::try_read(folder, files::checkpoint, max_note);
  std::string_view rest = content ? std::string_view(*content) : std::string_view();
  const auto note = take_note(rest);
  const auto head = note && rest.empty() ? parse_checkpoint(note->text) : std::nullopt;
  std::optional<Key> key;
  for (const std::string& vkey : trusted) {
    const Key identity = Key::from_vkey(vkey);
    const std::string origin = identity_name(identity) + "/" + index::name;
    if (note && (note->text.starts_with(origin + "\n") || note->signatures[0].name == origin)) key = identity.renamed(origin);
  }
  if (note && !key) {
    findings.gap("V1", files::checkpoint, "signed by " + std::string(note->signatures[0].name) + ", which is not trusted");
    report.status = Status::no_key;
    return report;
  }
  if (!head) findings.fault("V7", files::checkpoint, content ? "not a checkpoint in the form of a signed note" : "there is none");
  else if (head->origin != key->name() || signed_by(*note, *key) != Signed::valid)
    findings.fault("V1", files::checkpoint, "the signature of the identity does not hold");
  report.origin = key ? key->name() : "";
  LineReader lines(folder);
  Tree tree;
  Known known;
  const KeptStamps stamps = read_stamps(folder, report.origin, findings);
  std::vector<Seen> seen = seen_by_others(options.anchors, report.origin);
  std::ranges::move(seen_by_others(stamps.notes, report.origin), std::back_inserter(seen));
  const auto compare = [&] {
    for (Seen& one : seen) {
      if (one.head.size == tree.size()) one.root = tree.root();
    }
  };
  compare();
  for (Line line; lines.next(line);) {
    tree.add(leaf_hash(line.data));
    compare();
    note_run(line.data, known);
    if (head && tree.size() == head->size && tree.root() != head->root)
      findings.fault("V3", "records 0 to " + std::to_string(head->size - 1), "the records do not lead to the root that is signed");
  }
  report.records = tree.size();
  report.root = tree.root();
  report.torn_bytes = lines.torn_bytes();
  if (head) report.signed_records = head->size;
  if (head && head->size > report.records)
    findings.fault("V3", "record " + std::to_string(report.records) + " (missing)",
                   "checkpoint covers " + std::to_string(head->size) + " records, " + std::to_string(report.records) + " are there");
  if (head && report.records > head->size) findings.gap("V5", "record " + std::to_string(report.records - 1), "records after the checkpoint");
  if (report.torn_bytes > 0) findings.gap("V5", "end", "bytes after the last record");
  judge_runs(state_directory, known, findings);
  for (const Seen& one : seen) {
    if (one.root == one.head.root) continue;
    findings.elsewhere(one.root ? Status::forked : Status::truncated, "V6", one.where,
                       "it has " + std::to_string(one.head.size) + " records with the root " + base64(one.head.root) + ", here are " +
                           std::to_string(tree.size()) + " with the root " + base64(one.root.value_or(tree.root())));
  }
  Evidence evidence;
  if (head) evidence.newest.push_back({.bytes = {}, .note = *note, .checkpoint = *head, .where = files::checkpoint, .raw = *content});
  judge_stamps(stamps, evidence, options.anchors, options.authorities, findings);
  report.status = findings.faulty()         ? Status::tampered
                  : findings.contradicted() ? *findings.contradicted()
                  : findings.strange()      ? Status::no_key
                  : findings.gaps()         ? Status::incomplete
                                            : Status::complete;
  return report;
}

}  // namespace agentrun::journal
