// One pass over the records of a journal: tree, milestones, clocks and course.
#include "journal/verify/pass.h"

#include <agentrun/journal/record.h>

#include "journal/format/lines.h"
#include "journal/format/run_files.h"
#include "journal/proof/pruned_records.h"
#include "journal/verify/clocks.h"

namespace agentrun::journal {

namespace {

constexpr std::uint64_t progress_records = 1U << 16;

/// Grows the tree and notes each milestone on the way.
class MilestoneTree {
 public:
  explicit MilestoneTree(Milestones& milestones) : milestones_(&milestones), next_(milestones.begin()) { reach({}); }
  void add(const Hash& leaf, std::string_view line) {
    tree_.add(leaf);
    reach(line);
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return tree_.size(); }
  /// Removes the milestones beyond the end and reports what the tree has become.
  void finish(Report& report) {
    milestones_->erase(next_, milestones_->end());
    report.records = tree_.size();
    report.root = tree_.root();
  }

 private:
  void reach(std::string_view line) {
    if (next_ == milestones_->end() || next_->first != tree_.size()) return;
    next_->second.root = tree_.root();
    if (text_field(line, "type") == "key.rotate") next_->second.announced = text_field(line, "vkey").value_or("");
    ++next_;
  }

  Milestones* milestones_;
  Milestones::iterator next_;
  Tree tree_;
};

void note_opening(std::string_view line, Report& report) {
  if (text_field(line, "type") == "journal.open") report.opening = line;
}

}  // namespace

Pass read_records(const Fd& directory, Milestones& milestones, Course& course, Report& report, Findings& findings,
                  const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  Clocks clocks(findings);
  LineReader lines(directory);
  MilestoneTree tree(milestones);
  std::string last;
  for (Line line; lines.next(line);) {
    tree.add(leaf_hash(line.data), line.data);
    clocks.see(line);
    course.see(line, clocks.type());
    if (line.index == 0) note_opening(line.data, report);
    if (clocks.closed()) last = line.data;
    if (progress && tree.size() % progress_records == 0) progress(lines.bytes_read(), lines.bytes());
  }
  if (lines.broken()) findings.fault("V7", *lines.broken(), "what follows is not readable as records");
  tree.finish(report);
  report.torn_bytes = lines.torn_bytes();
  Pass pass{.closed = clocks.closed()};
  if (pass.closed) pass.closed_at = number_field(last, "t").value_or(0);
  return pass;
}

Pass read_hashes(const Fd& directory, const std::map<std::uint64_t, std::string>& preserved, std::uint64_t limit,
                 Milestones& milestones, Report& report, Findings& findings) {
  Pass pass;
  MilestoneTree tree(milestones);
  each_stored_hash(directory, limit, [&](const Hash& hash) {
    const auto record = preserved.find(tree.size());
    std::string line = record == preserved.end() ? std::string() : record->second;
    if (record != preserved.end() && leaf_hash(line) != hash) {
      findings.fault("V3", "kept record " + std::to_string(tree.size()), "is not the record that was signed");
      line.clear();
    }
    tree.add(hash, line);
    if (tree.size() == 1) note_opening(line, report);
    pass.closed = text_field(line, "type") == "journal.close";
    pass.closed_at = pass.closed ? number_field(line, "t").value_or(0) : 0;
  });
  tree.finish(report);
  findings.remark(
      "V3", files::kept,
      "the records were pruned; " + std::to_string(preserved.size()) + " of them and the hashes of all are preserved");
  return pass;
}

}  // namespace agentrun::journal
