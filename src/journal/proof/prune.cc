// Removes the records of old journals and leaves what proves them.
#include <agentrun/journal/prune.h>

#include <agentrun/journal/index.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <sys/stat.h>

#include <algorithm>

#include "journal/format/encode.h"
#include "journal/format/lines.h"
#include "journal/format/note.h"
#include "journal/format/run_files.h"
#include "journal/proof/pruned_records.h"

namespace agentrun::journal {

namespace {

constexpr std::int64_t day_ns = 86'400'000'000'000;
constexpr std::size_t max_kept = 64U << 20;

struct Contents {
  std::string kept;  // the content of the file `kept`
  std::uint64_t records = 0;
  std::int64_t closed = 0;  // ns, wall clock; 0: not closed
};

Contents contents_of(const Fd& directory) {
  Contents contents;
  LineReader lines(directory);
  for (Line line; lines.next(line);) {
    ++contents.records;
    const std::string type = text_field(line.data, "type").value_or("");
    contents.closed = type == "journal.close" ? number_field(line.data, "t").value_or(0) : 0;
    if (type != "journal.open" && type != "key.rotate" && type != "journal.close") continue;
    contents.kept += std::to_string(line.index) + " " + std::string(line.data) + "\n";
  }
  return contents;
}

/// Recomputes the hashes, which will be all that is left of the records: anybody may have changed those in the file.
/// Throws SysError, and Refusal when the records are no longer those that were verified.
void write_hashes(const Fd& directory, const Report& report) {
  constexpr std::size_t piece = 8192 * sizeof(Hash);
  const std::string fresh = std::string(files::hashes) + "." + files::random_suffix();
  try {
    const Fd file = files::make(directory, fresh, O_WRONLY);
    Tree tree;
    std::string leaves;
    LineReader lines(directory);
    for (Line line; lines.next(line);) {
      const Hash leaf = leaf_hash(line.data);
      tree.add(leaf);
      leaves.append(leaf.begin(), leaf.end());
      if (leaves.size() < piece) continue;
      write_all(file, leaves, fresh);
      leaves.clear();
    }
    write_all(file, leaves, fresh);
    if (tree.size() != report.records || tree.root() != report.root)
      throw Refusal("the records of " + report.origin + " changed during pruning",
                    "agent-run journal verify shows what is left");
    check(::fdatasync(file.get()), "fdatasync", fresh);
    check(::renameat(directory.get(), fresh.c_str(), directory.get(), files::hashes), "rename", files::hashes);
  } catch (...) {
    ::unlinkat(directory.get(), fresh.c_str(), 0);
    throw;
  }
}

std::uint64_t remove_segments(const Fd& directory, unsigned segments) {
  std::uint64_t bytes = 0;
  for (unsigned number = 0; number < segments; ++number) {
    struct stat st {};
    const std::string name = files::segment(number);
    if (::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
      bytes += static_cast<std::uint64_t>(st.st_size);
    if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) throw_errno("unlink", name);
  }
  return bytes;
}

unsigned segments_of(const Fd& directory) {
  unsigned number = 0;
  while (files::try_open(directory, files::segment(number))) ++number;
  return number;
}

/// nullopt when the run is to stay.
std::optional<Pruned> prune_run(const std::filesystem::path& state_directory, const RunInfo& run, const Key& identity,
                                std::int64_t before, Prune how) {
  const std::vector<std::string> trusted{identity.vkey()};
  const Fd directory = files::open_directory(run.directory.string());
  const unsigned segments = segments_of(directory);
  if (!run.closed || segments == 0) return std::nullopt;
  const Contents contents = contents_of(directory);
  if (contents.closed == 0 || contents.closed >= before) return std::nullopt;
  const auto anchors = index_anchors(state_directory, run.id, trusted);
  const Report report = verify(run.directory, trusted, {.anchors = anchors});
  if (report.status != Status::complete) return std::nullopt;
  Pruned one{.id = run.id, .records = contents.records, .failure = {}};
  if (how == Prune::try_only) return one;
  write_hashes(directory, report);
  files::replace(directory, files::kept, contents.kept, files::Sync::data);
  check(::fsync(directory.get()), "fsync", run.directory.string());
  index_pruned(state_directory, identity, run.id, contents.records);
  one.bytes = remove_segments(directory, segments);
  return one;
}

}  // namespace

std::optional<std::map<std::uint64_t, std::string>> read_pruned(const Fd& directory) {
  if (files::exists(directory, files::segment(0)) || !files::try_regular(directory, files::kept)) return std::nullopt;
  const auto content = files::try_read(directory, files::kept, max_kept);
  if (!content) return std::nullopt;
  std::map<std::uint64_t, std::string> records;
  std::string_view rest = *content;
  while (const auto line = take_line(rest)) {
    const std::size_t space = line->find(' ');
    const auto number = decode_decimal(line->substr(0, space));
    if (number && space != std::string_view::npos) records.emplace(*number, line->substr(space + 1));
  }
  return records;
}

void each_stored_hash(const Fd& directory, std::uint64_t limit, const std::function<void(const Hash&)>& each) {
  const auto file = files::try_regular(directory, files::hashes);
  if (!file) return;
  std::array<Hash, 512> block;
  for (off_t at = 0; limit > 0;) {
    const ssize_t n =
        check(retry_eintr([&] { return ::pread(file->get(), block.data(), sizeof block, at); }), "read", files::hashes);
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(limit, static_cast<std::size_t>(n) / sizeof(Hash)));
    limit -= count;
    for (std::size_t i = 0; i < count; ++i) each(block[i]);
    if (count == 0) return;
    at += static_cast<off_t>(count * sizeof(Hash));
  }
}

std::vector<Pruned> prune(const std::filesystem::path& state_directory, unsigned days, Prune how) {
  if (days < retention_days) {
    throw Refusal("journals must be retained for at least " + std::to_string(retention_days) + " days",
                  "name a longer time");
  }
  const Key identity = load_or_make_identity(state_directory);
  const std::int64_t before = wall_clock_ns() - static_cast<std::int64_t>(days) * day_ns;
  std::vector<Pruned> pruned;
  for (const RunInfo& run : list_runs(state_directory)) {
    try {
      auto one = prune_run(state_directory, run, identity, before, how);
      if (one) pruned.push_back(std::move(*one));
    } catch (const std::runtime_error& error) {  // SysError, Refusal
      pruned.push_back({.id = run.id, .failure = error.what()});
    }
  }
  return pruned;
}

}  // namespace agentrun::journal
