// The journal of journals: $state/index/, in the format of a journal, signed by the identity alone. Each run appends that it
// began and how it ended, so a run that was deleted is missed, and one that was made anew contradicts it.
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

/// Appends `journal.recovered` for every run that began, did not end and whose process is gone (its folder is not locked
/// any more; `run.missing` when there is none), then `run.open` for this one. Gives the last run that ended. Several
/// processes may do this at once: one waits for the other. Throws SysError, and Refusal when the lock cannot be had in 10 s.
std::optional<Before> index_open(const std::filesystem::path& state_directory, const Key& identity, const Run& run);
/// Appends `run.close`. `closing_note`: what Run::close() gave. Throws as index_open().
void index_close(const std::filesystem::path& state_directory, const Key& identity, const Run& run,
                 std::string_view closing_note);
/// Appends `run.pruned`: the records before `first` are gone on purpose. Throws as index_open().
void index_pruned(const std::filesystem::path& state_directory, const Key& identity, const std::string& run_id,
                  std::uint64_t first);

/// What the index says of a run: anchors of rule V6. Empty without an index. Nothing is verified. Throws SysError.
std::vector<Anchor> index_anchors(const std::filesystem::path& state_directory, std::string_view run_id);

/// The index itself: signatures and records as in verify(), COMPLETE when all records are signed (an index has no end), and
/// whether each run that it names is there. `options.anchors`: what a witness has seen. Throws as verify().
Report verify_index(const std::filesystem::path& state_directory, std::span<const std::string> trusted,
                    const VerifyOptions& options = {});

}  // namespace agentrun::journal
