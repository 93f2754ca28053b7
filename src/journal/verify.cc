// Verification, in this order: who signs (evidence.cc), then one pass over the records that recomputes the tree and
// stops at every kept checkpoint (V3), then, only when one disagrees, a second pass that finds the place. Bytes are
// hashed before they are parsed, and nothing that is parsed can make a bad tree good. `hashes` is believed only when it
// leads to a signed root itself, and only to say where the fault is.
#include <agentrun/journal.h>
#include <agentrun/sys/error.h>

#include <algorithm>
#include <array>

#include "journal/clocks.h"
#include "journal/evidence.h"
#include "journal/files.h"
#include "journal/lines.h"

namespace agentrun::journal {

namespace {

/// Where the tree first disagrees with a checkpoint: the records before `good` are proven, those up to `bad` are not.
struct Range {
  std::uint64_t good = 0;
  Head bad;
};

struct Pass {
  std::optional<Range> fault;
  bool closed = false;  // the last record is journal.close
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
  auto file = files::try_open(directory, files::hashes);
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

/// Compares the tree with the checkpoints of its present size; true while none disagrees.
class HeadCheck {
 public:
  explicit HeadCheck(const std::vector<Head>& heads) : heads_(&heads) {}
  void see(const Tree& tree, Pass& pass) {
    for (; next_ < heads_->size() && (*heads_)[next_].checkpoint.size == tree.size(); ++next_) {
      const Head& head = (*heads_)[next_];
      if (pass.fault) continue;
      if (head.checkpoint.root == tree.root())
        good_ = tree.size();
      else
        pass.fault = Range{.good = good_, .bad = head};
    }
  }
  /// After the last record: a checkpoint of more records than there are.
  void end(Pass& pass) const {
    if (!pass.fault && next_ < heads_->size()) pass.fault = Range{.good = good_, .bad = (*heads_)[next_]};
  }

 private:
  const std::vector<Head>* heads_;
  std::size_t next_ = 0;
  std::uint64_t good_ = 0;
};

Pass read_records(const Fd& directory, const std::vector<Head>& heads, Report& report, Findings& findings) {
  Pass pass;
  HeadCheck check_heads(heads);
  Clocks clocks(findings);
  LineReader lines(directory);
  Tree tree;
  check_heads.see(tree, pass);
  for (Line line; lines.next(line);) {
    tree.add(leaf_hash(line.data));
    check_heads.see(tree, pass);
    clocks.see(line);
  }
  check_heads.end(pass);
  if (lines.broken()) findings.fault("V7", *lines.broken(), "the rest cannot be read as records");
  report.records = tree.size();
  report.torn_bytes = lines.torn_bytes();
  pass.closed = clocks.closed();
  return pass;
}

void judge_tree(const Fd& directory, const Pass& pass, const Report& report, Findings& findings) {
  if (!pass.fault) return;
  const Head& bad = pass.fault->bad;
  const std::string size = std::to_string(bad.checkpoint.size);
  const bool cut = bad.checkpoint.size > report.records;
  findings.fault("V3", find_place(directory, *pass.fault),
                 cut ? bad.where + " covers " + size + " records, " + std::to_string(report.records) + " are there"
                     : "the records do not lead to the root that " + bad.where + " signs for " + size + " records");
}

/// V5: complete is what ends in journal.close, and has that under the closing checkpoint of its epoch.
void judge_end(const Authority& authority, const Pass& pass, const Report& report, Findings& findings) {
  const std::string counts = ": signed " + std::to_string(report.signed_records) + ", unsigned " +
                             std::to_string(report.records - std::min(report.records, report.signed_records)) +
                             ", torn " + std::to_string(report.torn_bytes) + " bytes";
  const std::string end = report.records == 0 ? "no record" : "record " + std::to_string(report.records - 1);
  const auto& closing = authority.epochs.back().closing;
  if (report.records > report.signed_records)
    findings.gap("V5", end, "records after the last checkpoint" + counts);
  else if (report.torn_bytes > 0)
    findings.gap("V5", end, "bytes after the last record" + counts);
  else if (!pass.closed)
    findings.gap("V5", end, "the journal does not end in journal.close" + counts);
  else if (!closing)
    findings.gap("V5", files::epochs, "the last epoch has no closing checkpoint" + counts);
}

Status status_of(const Findings& findings) {
  if (findings.faulty()) return Status::tampered;
  return findings.gaps() ? Status::incomplete : Status::complete;
}

constexpr std::array<std::pair<std::string_view, int>, 4> statuses{
    {{"COMPLETE", 0}, {"TAMPERED", 1}, {"INCOMPLETE", 3}, {"NO TRUSTED KEY", 4}}};

}  // namespace

std::string_view name(Status status) noexcept {
  return statuses[static_cast<std::size_t>(status)].first;
}
int Report::exit_code() const noexcept {
  return statuses[static_cast<std::size_t>(status)].second;
}

Report verify(const std::filesystem::path& run_directory, std::span<const std::string> trusted) {
  Report report;
  Findings findings(report);
  const Fd directory = files::open_directory(run_directory.string());
  Trust trust = Trust::checked;
  auto authority = read_authority(directory, trusted, findings, trust);
  if (!authority) {
    // Nobody vouches for anything here: what is not tampering is at best incomplete.
    report.status = trust == Trust::no_key ? Status::no_key : status_of(findings);
    return report;
  }
  report.origin = authority->origin;
  const std::vector<Head> heads = read_heads(directory, *authority, findings);
  if (!heads.empty()) report.signed_records = heads.back().checkpoint.size;
  const Pass pass = read_records(directory, heads, report, findings);
  judge_tree(directory, pass, report, findings);
  if (!findings.faulty()) judge_end(*authority, pass, report, findings);
  report.status = status_of(findings);
  return report;
}

}  // namespace agentrun::journal
