// Whether the journal of journals is whole, and whether each run is there that it knows, and is the one that it knows:
// the folder's name, the run in the certificate, the entry of the index, the closing checkpoint and what the next run
// says of the one before it must agree.
#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>
#include <sys/file.h>

#include <algorithm>
#include <system_error>

#include "journal/format/encode.h"
#include "journal/format/fields.h"
#include "journal/format/run_files.h"
#include "journal/index/index_files.h"
#include "journal/verify/findings.h"
#include "journal/verify/stamps.h"

namespace agentrun::journal {

namespace {

/// A run's folder, as it was before the index was read: a run that has records by then is in the index.
struct Folder {
  std::string id;
  std::filesystem::path directory;
  bool has_records = false;
};

std::vector<Folder> folders_of(const std::filesystem::path& state_directory) {
  std::vector<Folder> folders;
  for (const RunInfo& run : list_runs(state_directory)) {
    std::error_code error;
    const auto size = std::filesystem::file_size(run.directory / files::segment(0), error);
    const bool some = (!error && size > 0) || std::filesystem::exists(run.directory / files::checkpoint, error);
    folders.push_back({.id = run.id, .directory = run.directory, .has_records = some});
  }
  return folders;
}

struct Judged {
  Report report;
  std::optional<Before> before;  // of a run that verifies: what its journal.open says
};

std::optional<Before> before_in(std::string_view opening) {
  Members members(opening);
  for (Member member; members.next(member);) {
    if (member.key != "before") continue;
    Before before{.origin = text_field(member.value, "origin").value_or("")};
    const auto size = number_field(member.value, "size");
    if (!size || *size < 0 || !decode_hex(text_field(member.value, "root").value_or(""), before.root))
      return std::nullopt;
    before.size = static_cast<std::uint64_t>(*size);
    return before;
  }
  return std::nullopt;
}

class Judge {
 public:
  Judge(const std::filesystem::path& state_directory, const Key& key, std::vector<std::string> trusted,
        Findings& findings)
      : state_(state_directory), identity_(identity_name(key)), trusted_(std::move(trusted)), findings_(&findings) {}

  /// Newest index first.
  void know(const index::View& view) {
    for (const auto& [id, entry] : view.runs) {
      index::RunEntry& known = runs_[id];
      if (known.where.empty()) known.where = entry.where;
      known.anchors.insert(known.anchors.end(), entry.anchors.begin(), entry.anchors.end());
      if (!known.end) known.end = entry.end;
      known.closed = known.closed || entry.closed;
      known.excused = known.excused || entry.excused;
      known.sure = known.sure || view.leads;
    }
  }

  void judge(const std::vector<Folder>& folders) {
    for (const Folder& folder : folders) {
      const auto known = runs_.find(folder.id);
      if (known == runs_.end())
        judge_unknown(folder);
      else
        judge_known(folder, known->second);
    }
    for (const auto& [id, entry] : runs_) {
      const bool there = std::ranges::find(folders, id, &Folder::id) != folders.end();
      if (!there && !entry.excused) findings_->fault("V6", "run " + id, "the index knows it, and it is not there");
    }
  }

  /// Runs that only unsigned records of an index name that was set aside.
  void judge_claimed(const index::View& view) {
    std::error_code error;
    for (const std::string& id : view.claimed) {
      if (runs_.contains(id) || std::filesystem::is_directory(state_ / files::runs / id, error)) continue;
      findings_->fault("V6", "run " + id, view.where + " knows it, and it is not there");
    }
  }

 private:
  void judge_unknown(const Folder& folder) {
    Report report;
    Findings aside(report);
    Trust trust = Trust::checked;
    std::optional<Authority> authority;
    try {
      authority = read_authority(files::open_directory(folder.directory.string()), trusted_, aside, trust);
    } catch (const SysError&) {  // a pipe or a device is no certificate
    }
    const std::string where = "run " + folder.id;
    if (!authority)
      findings_->remark("V6", where, "the index does not know it");
    else if (authority->origin != identity_ + "/" + folder.id)
      findings_->fault("V6", where, "the index does not know it, and it is a copy of " + authority->origin);
    else if (folder.has_records)
      findings_->fault("V6", where,
                       "the identity certified it, and the index does not know it: an older index was put back, or the "
                       "index was removed");
    else
      findings_->remark("V6", where, "it has not begun, or was broken off before its first record");
  }

  void judge_known(const Folder& folder, const index::RunEntry& entry) {
    const std::string where = "run " + folder.id;
    Report report;
    try {
      report = verify(folder.directory, trusted_, {.anchors = entry.anchors});
    } catch (const std::exception& e) {  // a pipe in place of a file, a damaged note
      return findings_->fault("V6", where, std::string("it cannot be read: ") + e.what());
    }
    const std::string why = report.findings.empty() ? "" : first_fault(report);
    if (report.status == Status::complete || (report.status == Status::incomplete && !entry.closed))
      return judge_before(folder.id, report);
    if (report.status == Status::incomplete)
      findings_->gap("V6", where, "INCOMPLETE, and the index knows its end: " + why);
    else if (report.status == Status::truncated || report.status == Status::forked)
      findings_->elsewhere(report.status, "V6", where, why);
    else
      findings_->fault("V6", where, std::string(journal::name(report.status)) + ": " + why);
  }

  static std::string first_fault(const Report& report) {
    const auto remark = [](const Finding& finding) { return finding.where == files::kept; };
    const auto found = std::ranges::find_if_not(report.findings, remark);
    const Finding& finding = found == report.findings.end() ? report.findings.front() : *found;
    return finding.rule + " " + finding.where + ": " + finding.message;
  }

  /// The run that it says was before it must be known, and have ended so.
  void judge_before(const std::string& id, const Report& report) {
    const auto before = before_in(report.opening);
    if (!before) return;
    const std::string prefix = identity_ + "/";
    const std::string run = before->origin.starts_with(prefix) ? before->origin.substr(prefix.size()) : "";
    const auto known = runs_.find(run);
    if (known == runs_.end())
      findings_->fault("V6", "run " + (run.empty() ? before->origin : run),
                       "run " + id + " names it as the one before it, and the index does not know it");
    else if (!known->second.end && !known->second.sure)
      return;  // of an index that was damaged, the record that told its end may be one that is not believed
    else if (!known->second.end || known->second.end->size != before->size || known->second.end->root != before->root)
      findings_->fault("V6", "run " + run,
                       "run " + id + " says that it ended with " + std::to_string(before->size) +
                           " records and the root " + base64(before->root) + ", the index says something else");
  }

  std::filesystem::path state_;
  std::string identity_;
  std::vector<std::string> trusted_;
  Findings* findings_;
  std::map<std::string, index::RunEntry> runs_;
};

/// Heads of the index that others have seen, and those that runs had in memory.
void judge_heads(const index::View& view, std::span<const Anchor> anchors, const std::string& origin,
                 Findings& findings) {
  std::map<std::uint64_t, Hash> roots;
  struct Seen {
    std::string where;
    Checkpoint head;
  };
  std::vector<Seen> seen;
  for (const Anchor& anchor : anchors) {
    std::string_view rest = anchor.note;
    const auto note = take_note(rest);
    auto head = note ? parse_checkpoint(note->text) : std::nullopt;
    if (!head || head->origin != origin) continue;
    roots.try_emplace(head->size);
    seen.push_back({anchor.where, std::move(*head)});
  }
  Tree tree;
  const auto reach = [&] {
    const auto found = roots.find(tree.size());
    if (found != roots.end()) found->second = tree.root();
  };
  reach();
  for (const Hash& leaf : view.leaves) {
    tree.add(leaf);
    reach();
  }
  for (const Seen& one : seen) {
    const bool short_of = one.head.size > tree.size();
    const Hash& here = short_of ? roots[one.head.size] : roots.find(one.head.size)->second;
    if (!short_of && here == one.head.root) continue;
    findings.elsewhere(short_of ? Status::truncated : Status::forked, "V6", one.where,
                       "it has " + std::to_string(one.head.size) + " records with the root " + base64(one.head.root) +
                           ", here are " + std::to_string(tree.size()) + " with the root " +
                           base64(short_of ? tree.root() : here));
  }
}

void judge_end(const index::View& view, const index::SignedHead& signed_head, Report& report, Findings& findings) {
  report.records = view.leaves.size();
  report.root = index::root_at(view.leaves, view.leaves.size()).value_or(Hash{});
  report.torn_bytes = view.torn_bytes;
  if (!view.malformed.empty()) findings.fault("V7", index::name, view.malformed);
  if (!signed_head.holds) return;
  const Checkpoint& head = *signed_head.head;
  report.signed_records = head.size;
  report.signed_root = head.root;
  if (head.size > report.records)
    findings.fault("V3", "record " + std::to_string(report.records) + " (missing)",
                   "checkpoint covers " + std::to_string(head.size) + " records, " + std::to_string(report.records) +
                       " are there");
  else if (!view.leads)
    findings.fault("V3", "records 0 to " + std::to_string(head.size - 1),
                   "the records do not lead to the root that is signed");
  if (report.records > head.size)
    findings.gap("V5", "record " + std::to_string(report.records - 1),
                 "records after the checkpoint: nothing of them counts that does not prove itself");
  if (view.torn_bytes > 0) findings.gap("V5", "end", "bytes after the last record");
}

Status status_of(const Findings& findings) {
  return findings.faulty()         ? Status::tampered
         : findings.contradicted() ? *findings.contradicted()
         : findings.strange()      ? Status::no_key
         : findings.gaps()         ? Status::incomplete
                                   : Status::complete;
}

}  // namespace

Report verify_index(const std::filesystem::path& state_directory, std::span<const std::string> trusted,
                    const VerifyOptions& options) {
  Report report;
  Findings findings(report);
  const std::vector<Folder> folders = folders_of(state_directory);
  if (index::is_no_directory(state_directory / index::name)) {
    findings.fault("V7", index::name, "not a directory");
    report.status = status_of(findings);
    return report;
  }
  auto folder = index::try_folder(state_directory / index::name);
  if (!folder)
    throw Refusal("there is no index in " + state_directory.string(),
                  "the first run makes it; if there are runs, it was removed");
  (void)::flock(folder->get(), LOCK_SH);
  const index::SignedHead head = index::read_signed_head(*folder, trusted);
  if (head.note && !head.key) {
    findings.gap("V1", files::checkpoint,
                 "signed by " + std::string(head.note->signatures[0].name) + ", which is not trusted");
    report.status = Status::no_key;
    return report;
  }
  if (!head.head)
    findings.fault("V7", files::checkpoint,
                   head.content.empty() ? "there is none" : "not a checkpoint in the form of a signed note");
  else if (!head.holds)
    findings.fault("V1", files::checkpoint, "the signature of the identity does not hold");
  if (!head.key) {
    report.status = status_of(findings);
    return report;
  }
  report.origin = head.key->name();
  const KeptStamps stamps = read_stamps(*folder, report.origin, findings);
  const index::View view =
      index::read_view(*folder, index::name, *head.key, head.holds ? head.head : std::nullopt, state_directory);
  folder.reset();  // a start does not wait until all runs are read
  judge_end(view, head, report, findings);
  std::vector<Anchor> heads(options.anchors.begin(), options.anchors.end());
  heads.insert(heads.end(), stamps.notes.begin(), stamps.notes.end());
  heads.insert(heads.end(), view.held.begin(), view.held.end());
  if (head.holds) judge_heads(view, heads, report.origin, findings);
  std::string absent;
  const auto aside = index::views_set_aside(view, *head.key, state_directory, absent);
  if (!view.broken.empty())
    findings.gap("V6", "index record 0",
                 "the index before it was damaged and set aside as " + view.broken +
                     ": what was removed from that cannot be told");
  if (!absent.empty()) findings.fault("V6", absent, "the index that was set aside is not there");
  const Key unnamed = head.key->renamed(identity_name(*head.key));
  Judge judge(state_directory, *head.key, {unnamed.vkey()}, findings);
  judge.know(view);
  for (const index::View& old : aside) judge.know(old);
  if (view.leads) judge.judge(folders);
  for (const index::View& old : aside) judge.judge_claimed(old);
  Evidence evidence;
  if (head.head)
    evidence.newest.push_back(
        {.bytes = {}, .note = *head.note, .checkpoint = *head.head, .where = files::checkpoint, .raw = head.content});
  judge_stamps(stamps, evidence, options.anchors, options.authorities, findings);
  report.status = status_of(findings);
  return report;
}

}  // namespace agentrun::journal
