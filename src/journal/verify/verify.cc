// Verification, in this order: what is kept and who vouches for it (evidence.cc); one pass over the records that
// recomputes the tree and notes its root at the size of every checkpoint; then the keys, from epoch to epoch (chain.cc:
// the record at the end of one announces the key of the next), and with them the signatures; then whether the roots are
// those that were signed (V3), and, only when one is not, a second pass that finds the place. Bytes are hashed before
// they are parsed, and nothing that is parsed can make a bad tree good. `hashes` is believed only when it leads to a
// signed root itself, and only to say where the fault is.
#include <agentrun/journal.h>
#include <agentrun/journal/prune.h>
#include <agentrun/sys/error.h>

#include <algorithm>
#include <array>
#include <set>

#include "journal/format/encode.h"
#include "journal/format/lines.h"
#include "journal/format/run_files.h"
#include "journal/proof/pruned_records.h"
#include "journal/verify/chain.h"
#include "journal/verify/clocks.h"
#include "journal/verify/evidence.h"
#include "journal/verify/stamps.h"
#include "journal/write/course.h"

namespace agentrun::journal {

namespace {

/// Where the tree first disagrees with a checkpoint: the records before `good` are proven, those up to `bad` are not.
struct Range {
  std::uint64_t good = 0;
  Head bad;
};

struct Pass {
  bool closed = false;         // the last record is journal.close
  std::int64_t closed_at = 0;  // ns by the wall clock, when it is
  Hash root{};                 // of all records
};

/// Reads the leaf hashes of `hashes` one after the other.
class HashReader {
 public:
  explicit HashReader(Fd file) : file_(std::move(file)) {}
  bool next(Hash& hash) {
    if (at_ == filled_ && !refill()) return false;
    hash = block_[at_++];
    return true;
  }

 private:
  bool refill() {
    const auto n = retry_eintr([&] { return ::pread(file_.get(), block_.data(), sizeof block_, offset_); });
    check(n, "read", files::hashes);
    at_ = 0;
    filled_ = static_cast<std::size_t>(n) / sizeof(Hash);
    offset_ += static_cast<std::int64_t>(filled_ * sizeof(Hash));
    return filled_ > 0;
  }

  Fd file_;
  std::array<Hash, 512> block_{};
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::int64_t offset_ = 0;
};

/// The first record whose hash is not the kept one, when the kept ones are those that were signed.
std::optional<std::string> find_record(const Fd& directory, const Head& bad) {
  auto file = files::try_regular(directory, files::hashes);
  if (!file) return std::nullopt;
  HashReader kept(std::move(*file));
  LineReader lines(directory);
  Tree tree;
  Line line;
  std::optional<std::string> found;
  while (tree.size() < bad.checkpoint.size) {
    Hash hash;
    if (!kept.next(hash)) return std::nullopt;
    if (!found && !lines.next(line)) found = "record " + std::to_string(tree.size()) + " (missing)";
    if (!found && leaf_hash(line.data) != hash) found = place(line);
    tree.add(hash);
  }
  return tree.root() == bad.checkpoint.root ? found : std::nullopt;
}

std::string find_place(const Fd& directory, const Range& range) {
  if (auto record = find_record(directory, range.bad)) return *record;
  const std::uint64_t last = range.bad.checkpoint.size;
  if (last == 0) return range.bad.where;
  return "records " + std::to_string(range.good) + " to " + std::to_string(last - 1);
}

/// The first head that the records do not lead to. `heads` are sorted by size.
std::optional<Range> first_fault(const std::vector<Head>& heads, const Milestones& milestones) {
  std::uint64_t good = 0;
  for (const Head& head : heads) {
    const auto found = milestones.find(head.checkpoint.size);
    if (found == milestones.end() || found->second.root != head.checkpoint.root)
      return Range{.good = good, .bad = head};
    good = head.checkpoint.size;
  }
  return std::nullopt;
}

void note_opening(std::string_view line, Report& report) {
  if (text_field(line, "type") == "journal.open") report.opening = line;
}

constexpr std::uint64_t progress_records = 1U << 16;

/// Fills `milestones` at the sizes that are in it, and takes out those that are beyond the end.
Pass read_records(const Fd& directory, Milestones& milestones, Course& course, Report& report, Findings& findings,
                  const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  Pass pass;
  Clocks clocks(findings);
  LineReader lines(directory);
  Tree tree;
  auto next = milestones.begin();
  const auto reach = [&](std::string_view line) {
    if (next == milestones.end() || next->first != tree.size()) return;
    next->second.root = tree.root();
    if (text_field(line, "type") == "key.rotate") next->second.announced = text_field(line, "vkey").value_or("");
    ++next;
  };
  reach({});
  std::string last;
  for (Line line; lines.next(line);) {
    tree.add(leaf_hash(line.data));
    reach(line.data);
    clocks.see(line);
    course.see(line, clocks.type());
    if (line.index == 0) note_opening(line.data, report);
    if (clocks.closed()) last = line.data;
    if (progress && tree.size() % progress_records == 0) progress(lines.bytes_read(), lines.bytes());
  }
  milestones.erase(next, milestones.end());
  if (lines.broken()) findings.fault("V7", *lines.broken(), "the rest cannot be read as records");
  report.records = tree.size();
  report.torn_bytes = lines.torn_bytes();
  report.root = pass.root = tree.root();
  pass.closed = clocks.closed();
  if (pass.closed) pass.closed_at = number_field(last, "t").value_or(0);
  return pass;
}

/// The same of a journal whose records were removed: from their hashes, and the few records that were kept. A kept
/// record counts when it has the hash that it must have.
Pass read_hashes(const Fd& directory, const std::map<std::uint64_t, std::string>& kept, std::uint64_t limit,
                 Milestones& milestones, Report& report, Findings& findings) {
  Pass pass;
  Tree tree;
  auto next = milestones.begin();
  const auto reach = [&](const std::string& line) {
    if (next == milestones.end() || next->first != tree.size()) return;
    next->second.root = tree.root();
    if (text_field(line, "type") == "key.rotate") next->second.announced = text_field(line, "vkey").value_or("");
    ++next;
  };
  reach({});
  each_kept_hash(directory, limit, [&](const Hash& hash) {
    const auto record = kept.find(tree.size());
    std::string line = record == kept.end() ? std::string() : record->second;
    if (record != kept.end() && leaf_hash(line) != hash) {
      findings.fault("V3", "kept record " + std::to_string(tree.size()), "is not the one that was signed");
      line.clear();
    }
    tree.add(hash);
    reach(line);
    if (tree.size() == 1) note_opening(line, report);
    pass.closed = text_field(line, "type") == "journal.close";
    pass.closed_at = pass.closed ? number_field(line, "t").value_or(0) : 0;
  });
  milestones.erase(next, milestones.end());
  report.records = tree.size();
  report.root = pass.root = tree.root();
  findings.remark(
      "V3", files::kept,
      "the records were pruned; " + std::to_string(kept.size()) + " of them and the hashes of all are kept");
  return pass;
}

void judge_tree(const Fd& directory, const Chain& chain, const Milestones& milestones, const Report& report,
                Findings& findings) {
  const auto fault = first_fault(chain.heads, milestones);
  if (!fault) return;
  const Head& bad = fault->bad;
  const std::string size = std::to_string(bad.checkpoint.size);
  const bool cut = bad.checkpoint.size > report.records;
  findings.fault("V3", find_place(directory, *fault),
                 cut ? bad.where + " covers " + size + " records, " + std::to_string(report.records) + " are there"
                     : "the records do not lead to the root that " + bad.where + " signs for " + size + " records");
}

// ---- V6 -------------------------------------------------------------------------------------------------------------

struct Seen {
  Checkpoint checkpoint;
  std::optional<Note> note;
  const Anchor* anchor;
};

/// The anchors that are about this journal.
std::vector<Seen> parse_anchors(std::span<const Anchor> anchors, const Authority& authority, Findings& findings) {
  std::vector<Seen> list;
  std::set<std::string_view> seen;  // the same note many times says no more than once
  for (const Anchor& anchor : anchors) {
    if (!anchor.gap.empty()) findings.gap("V6", anchor.where, anchor.gap);
    if (!anchor.origin.empty() && anchor.origin != authority.origin) continue;
    if (!anchor.fault.empty())
      findings.fault("V6", anchor.where, "it was found damaged when the next run began: " + anchor.fault);
    if (!anchor.first_key.empty() && anchor.first_key != authority.first.vkey()) {
      findings.elsewhere(
          Status::forked, "V6", anchor.where,
          "it names another key of epoch 0 (" + anchor.first_key + "), here is " + authority.first.vkey());
    }
    if (anchor.head) list.push_back({*anchor.head, std::nullopt, &anchor});
    if (anchor.note.empty() || !seen.insert(anchor.note).second) continue;
    std::string_view rest = anchor.note;
    auto note = take_note(rest);
    auto checkpoint = note ? parse_checkpoint(note->text) : std::nullopt;
    if (!checkpoint) throw Refusal(anchor.where + " is not a checkpoint", "an anchor is a whole signed note");
    if (checkpoint->origin == authority.origin) list.push_back({std::move(*checkpoint), std::move(note), &anchor});
  }
  return list;
}

/// The key of this name, when it is one of the journal's own.
const Key* own_key(std::string_view name, const Authority& authority, const Chain& chain) {
  if (name == authority.origin) return &authority.identity;
  const std::string prefix = authority.origin + "/e";
  const auto number = name.starts_with(prefix) ? decode_decimal(name.substr(prefix.size())) : std::nullopt;
  return number && *number < chain.keys.size() ? &chain.keys[*number] : nullptr;
}

/// Which of the journal's own keys signed it. Others (of a witness; of a journal of the same name that was here before)
/// say nothing against it: the caller knows where the anchor comes from.
std::optional<std::string> signer(const Seen& seen, const Authority& authority, const Chain& chain,
                                  Findings& findings) {
  if (!seen.note) return "not signed by itself";
  std::string by;
  for (const NoteSignature& signature : seen.note->signatures) {
    const Key* key = own_key(signature.name, authority, chain);
    if (key == nullptr) continue;
    const Signed result = signed_by(*seen.note, *key);
    if (result == Signed::invalid && seen.anchor->kept) {
      findings.fault("V1", seen.anchor->where, "the signature of " + key->name() + " does not hold");
      return std::nullopt;
    }
    if (result == Signed::invalid)
      throw Refusal(seen.anchor->where + ": the signature of " + key->name() + " does not hold",
                    "take the anchor from its source again");
    if (result == Signed::valid && by.empty()) by = "signed by " + key->name();
  }
  return by.empty() ? "not signed by a key of this journal" : by;
}

std::string head_text(std::uint64_t size, const Hash& root) {
  return std::to_string(size) + " records with the root " + base64(root);
}

void judge_anchors(const std::vector<Seen>& anchors, const Authority& authority, const Chain& chain,
                   const Milestones& milestones, const Report& report, Findings& findings) {
  for (const Seen& seen : anchors) {
    const auto by = signer(seen, authority, chain, findings);
    if (!by) continue;
    const std::string said =
        "it has " + head_text(seen.checkpoint.size, seen.checkpoint.root) + " (" + *by + "), here are ";
    const auto found = milestones.find(seen.checkpoint.size);
    if (found == milestones.end())
      findings.elsewhere(Status::truncated, "V6", seen.anchor->where, said + head_text(report.records, report.root));
    else if (found->second.root != seen.checkpoint.root)
      findings.elsewhere(Status::forked, "V6", seen.anchor->where,
                         said + head_text(seen.checkpoint.size, found->second.root));
  }
}

// ---- V5 -------------------------------------------------------------------------------------------------------------

/// V5: complete is what ends in journal.close, and has that under the closing checkpoint of its epoch.
void judge_end(const Chain& chain, const Pass& pass, const Report& report, Findings& findings) {
  const std::string counts = ": signed " + std::to_string(report.signed_records) + ", unsigned " +
                             std::to_string(report.records - std::min(report.records, report.signed_records)) +
                             ", torn " + std::to_string(report.torn_bytes) + " bytes";
  const std::string end = report.records == 0 ? "no record" : "record " + std::to_string(report.records - 1);
  if (report.records > report.signed_records)
    findings.gap("V5", end, "records after the last checkpoint" + counts);
  else if (report.torn_bytes > 0)
    findings.gap("V5", end, "bytes after the last record" + counts);
  else if (!pass.closed)
    findings.gap("V5", end, "the journal does not end in journal.close" + counts);
  else if (!chain.closed)
    findings.gap("V5", files::epochs, "the last epoch has no closing checkpoint" + counts);
}

Status status_of(const Findings& findings) {
  if (findings.faulty()) return Status::tampered;
  if (findings.contradicted()) return *findings.contradicted();
  if (findings.strange()) return Status::no_key;
  return findings.gaps() ? Status::incomplete : Status::complete;
}

constexpr std::array<std::pair<std::string_view, int>, 6> statuses{
    {{"COMPLETE", 0}, {"TAMPERED", 1}, {"INCOMPLETE", 3}, {"NO TRUSTED KEY", 4}, {"TRUNCATED", 1}, {"FORKED", 1}}};

}  // namespace

std::string_view name(Status status) noexcept {
  return statuses[static_cast<std::size_t>(status)].first;
}
int Report::exit_code() const noexcept {
  return statuses[static_cast<std::size_t>(status)].second;
}

/// Nothing is there that could speak for itself: what others have seen of a run of this name is missing.
void judge_absence(const std::string& run, std::span<const std::string> trusted, std::span<const Anchor> anchors,
                   Findings& findings) {
  for (const std::string& vkey : trusted) {
    const std::string origin = identity_name(Key::from_vkey(vkey)) + "/" + run;
    for (const Anchor& anchor : anchors) {
      std::string_view rest = anchor.note;
      const auto note = take_note(rest);
      const auto head = note ? parse_checkpoint(note->text) : anchor.head;
      if (anchor.origin != origin && (!head || head->origin != origin)) continue;
      findings.elsewhere(Status::truncated, "V6", anchor.where,
                         head ? "it has " + head_text(head->size, head->root) + ", here is nothing"
                              : "it knows the run, and here is nothing of it");
    }
  }
}

/// The name of the folder, links and "." resolved.
std::string name_of(const std::filesystem::path& run_directory) {
  std::error_code error;
  const auto whole = std::filesystem::canonical(run_directory, error);
  if (error) throw SysError(error.value(), "open", run_directory.string());
  return whole.filename().string();
}

/// How many hashes of a pruned journal are worth reading: as many as its identity has signed for.
std::uint64_t closing_size(const Authority& authority, const Evidence& evidence) {
  for (const Kept& kept : evidence.newest) {
    if (signed_by(kept.note, authority.identity) == Signed::valid) return kept.checkpoint.size;
  }
  return 0;
}

/// Records may be absent on purpose, when the index has signed that, and that it was not too early.
void judge_pruned(const Pass& pass, std::span<const Anchor> anchors, Findings& findings) {
  constexpr std::int64_t retention_ns = static_cast<std::int64_t>(retention_days) * 86'400'000'000'000;
  const auto said = std::ranges::find_if(anchors, [](const Anchor& anchor) { return anchor.pruned_at.has_value(); });
  if (said == anchors.end())
    findings.gap("V5", files::kept, "nothing says that the records were pruned on purpose: the index would");
  else if (*said->pruned_at - pass.closed_at < retention_ns)
    findings.fault("V5", files::kept,
                   "the records were pruned before " + std::to_string(retention_days) + " days had passed");
}

Report verify(const std::filesystem::path& run_directory, std::span<const std::string> trusted,
              const VerifyOptions& options) {
  Report report;
  Findings findings(report);
  const Fd directory = files::open_directory(run_directory.string());
  Trust trust = Trust::checked;
  const auto authority = read_authority(directory, trusted, findings, trust);
  const std::string run = name_of(run_directory);
  if (!authority) {
    // Nobody vouches for anything here: what is not tampering is at best incomplete.
    judge_absence(run, trusted, options.anchors, findings);
    const bool strange = trust == Trust::no_key && !findings.contradicted();
    report.status = strange ? Status::no_key : status_of(findings);
    return report;
  }
  report.origin = authority->origin;
  if (!authority->origin.ends_with("/" + run))
    findings.fault("V1", files::keycert, "the run is another one than the folder is called after: " + run);
  for (const char* name : {files::hashes, files::kept}) {  // the others are judged where they are read
    if (files::exists(directory, name) && !files::try_regular(directory, name))
      findings.fault("V7", name, "not a regular file");
  }
  const Evidence evidence = read_evidence(directory, *authority, findings);
  const KeptStamps stamps = read_stamps(directory, authority->origin, findings);
  std::vector<Seen> anchors = parse_anchors(options.anchors, *authority, findings);
  std::ranges::move(parse_anchors(stamps.notes, *authority, findings), std::back_inserter(anchors));
  Milestones milestones;
  for (const auto* list : {&evidence.epochs, &evidence.newest, &evidence.recent}) {
    for (const Kept& kept : *list) milestones.try_emplace(kept.checkpoint.size);
  }
  for (const Seen& seen : anchors) milestones.try_emplace(seen.checkpoint.size);
  std::set<std::uint64_t> ends;
  for (const Kept& epoch : evidence.epochs) ends.insert(epoch.checkpoint.size);
  Course course(std::move(ends), findings);
  const auto kept = read_pruned(directory);
  const Pass pass =
      kept ? read_hashes(directory, *kept, closing_size(*authority, evidence), milestones, report, findings)
           : read_records(directory, milestones, course, report, findings, options.progress);
  const Chain chain = follow(*authority, evidence, milestones, findings);
  report.epochs = chain.ends.size();
  if (!chain.heads.empty()) {
    report.signed_records = chain.heads.back().checkpoint.size;
    report.signed_root = chain.heads.back().checkpoint.root;
  }
  course.judge(report.signed_records);
  judge_tree(directory, chain, milestones, report, findings);
  judge_anchors(anchors, *authority, chain, milestones, report, findings);
  judge_stamps(stamps, evidence, options.anchors, options.authorities, findings);
  if (kept) judge_pruned(pass, options.anchors, findings);
  if (!findings.faulty()) judge_end(chain, pass, report, findings);
  report.status = status_of(findings);
  return report;
}

}  // namespace agentrun::journal
