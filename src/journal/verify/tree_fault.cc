// Finds the record where a journal departs from what was signed. `hashes` is trusted only if it leads to a signed root
// itself, and only to name the place.
#include "journal/verify/tree_fault.h"

#include <agentrun/sys/error.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "journal/format/lines.h"
#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {

/// The tree first differs from a checkpoint here: the records before `good` are proven, those up to `bad` are not.
struct Range {
  std::uint64_t good = 0;
  Head bad;
};

/// Reads the leaf hashes in `hashes`, in order.
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

/// The first record whose hash differs from the stored one, if the stored hashes lead to the signed root.
std::optional<std::string> find_record(const Fd& directory, const Head& bad) {
  auto file = files::try_regular(directory, files::hashes);
  if (!file) return std::nullopt;
  HashReader stored(std::move(*file));
  LineReader lines(directory);
  Tree tree;
  Line line;
  std::optional<std::string> found;
  while (tree.size() < bad.checkpoint.size) {
    Hash hash;
    if (!stored.next(hash)) return std::nullopt;
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

}  // namespace

void judge_tree(const Fd& directory, const Chain& chain, const Milestones& milestones, const Report& report,
                Findings& findings) {
  const auto fault = first_fault(chain.heads, milestones);
  if (!fault) return;
  const Head& bad = fault->bad;
  const std::string size = std::to_string(bad.checkpoint.size);
  const bool cut = bad.checkpoint.size > report.records;
  findings.fault("V3", find_place(directory, *fault),
                 cut ? bad.where + " covers " + size + " records, but there are " + std::to_string(report.records)
                     : "the records do not lead to the root that " + bad.where + " signs for " + size + " records");
}

}  // namespace agentrun::journal
