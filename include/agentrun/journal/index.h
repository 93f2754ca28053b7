// The journal of journals: $state/index/, in the format of a journal, signed by the identity alone. Each run appends
// that it began and how it ended, so a run that was deleted is missed, and one that was made anew contradicts it.
#pragma once

#include <agentrun/journal.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// How the run before ended, for journal.open.
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

/// What a process has signed of the index, kept in its memory: what others make of the files meanwhile is compared with
/// it.
struct IndexHead {
  std::string note;  // as it was written to `checkpoint`
  Tree tree;
  std::int64_t offset = 0;  // bytes of the records that the tree has
  std::vector<OpenRun> open;
  std::optional<Before> last;
  std::int64_t since = 0;  // boot time (ns) when it was signed
};
struct IndexOpened {
  std::optional<Before> before;  // the last run that ended
  IndexHead head;
  std::string notice;  // a sentence for people when the index was damaged and a new one was begun; else empty
};

/// Appends `journal.recovered` for every run that began, did not end and whose process is gone (its folder is not
/// locked any more; `run.missing` when there is none), then `run.open` for this one. Of records that a dead process
/// left unsigned only those are kept that prove themselves. Several processes may do this at once: one waits for the
/// other. Throws SysError, and Refusal when the lock cannot be had in 10 s.
IndexOpened index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run);
/// Appends `run.close`. `closing_note`: what Run::close() gave. `head`: what index_open() gave; when the index does not
/// continue that, run.close says so for good. Gives a sentence for people then; else nothing. Throws as index_open().
std::string index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                        std::string_view closing_note, const IndexHead& head);
/// Appends `run.pruned`: the records before `first` are gone on purpose. Throws as index_open(), and Refusal when the
/// index does not verify.
void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first);

/// What the index says of a run: anchors of rule V6, from the records that it has signed and those that prove
/// themselves. None without an index and from one of nobody in `trusted`; from one that was damaged, one anchor that
/// says so. Throws SysError.
std::vector<Anchor> index_anchors(const std::filesystem::path& state_directory, std::string_view run_id,
                                  std::span<const std::string> trusted);

/// The index itself: signatures and records as in verify(), COMPLETE when all records are signed (an index has no end);
/// and of each run whether it is there, verifies, and agrees with the index and with the run after it.
/// `options.anchors`: what a witness has seen. Throws as verify().
Report verify_index(const std::filesystem::path& state_directory, std::span<const std::string> trusted,
                    const VerifyOptions& options = {});

}  // namespace agentrun::journal
