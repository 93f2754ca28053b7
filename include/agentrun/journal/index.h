// The index of journals, $state/index/: a journal that the identity alone signs. Each run appends that it began and how
// it ended, so a deleted run is detected and a forged one contradicts the index. Format: agent-run-journal(5).
#pragma once

#include <agentrun/journal.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// How the previous run ended, for journal.open.
struct Before {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
};

/// A run that began and did not end.
struct OpenRun {
  std::string id;
  std::string first_key;  // vkey of its epoch 0
};

/// What a process has signed of the index. It stays in memory, and the files are compared with it later.
struct IndexHead {
  std::string note;  // as it was written to `checkpoint`
  Tree tree;
  std::int64_t offset = 0;  // bytes of the records in the tree
  std::vector<OpenRun> open;
  std::optional<Before> last;
  std::int64_t since = 0;  // boot time (ns) when it was signed
};
struct IndexOpened {
  std::optional<Before> before;  // the last run that ended
  IndexHead head;
  std::string notice;  // a sentence for the user if a new index replaced a damaged one; otherwise empty
};

/// Appends `journal.recovered` for every run that began, did not end and whose process is gone (its directory is not
/// locked; `run.missing` if it is absent), then `run.open` for this run. Removes records that a dead process left
/// unsigned, except those that prove themselves. Concurrent calls wait for each other. Throws SysError, and Refusal
/// when the lock cannot be obtained in 10 s.
IndexOpened index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run);
/// Appends `run.close`. `closing_note`: from Run::close(). `head`: from index_open(); if the index does not continue
/// it, run.close records that and the function returns a sentence for the user; otherwise it returns an empty string.
/// Throws as index_open().
std::string index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                        std::string_view closing_note, const IndexHead& head);
/// Appends `run.pruned`: the records before `first` were removed on purpose. Throws as index_open(), and Refusal when
/// the index does not verify.
void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first);

/// What the index says about a run, as anchors for rule V6, from records that are signed or prove themselves. Returns
/// none if there is no index or its identity is not in `trusted`, and one anchor that says so if the index is damaged.
/// Throws SysError.
std::vector<Anchor> index_anchors(const std::filesystem::path& state_directory, std::string_view run_id,
                                  std::span<const std::string> trusted);

/// Verifies the index: signatures and records as in verify(), and for each run that it is present, verifies, and agrees
/// with the index and with the next run. COMPLETE means that all records are signed; an index has no end.
/// `options.anchors`: what a witness has seen. Throws as verify().
Report verify_index(const std::filesystem::path& state_directory, std::span<const std::string> trusted,
                    const VerifyOptions& options = {});

}  // namespace agentrun::journal
