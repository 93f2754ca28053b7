// The signed parts of a journal, read strictly (rules V1, V7): the certificate and the checkpoints. chain.h checks the
// signatures of checkpoints, once the records that announce the keys have been read.
#pragma once

#include <agentrun/journal.h>
#include <agentrun/sys/fd.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "journal/format/note.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

/// Reads a file of a run. Returns nullopt when it is absent, and reports a fault (V7) and returns nullopt when it is
/// not a regular file or longer than `limit`. Throws SysError.
std::optional<std::string> read_run_file(const Fd& directory, const std::string& name, std::size_t limit,
                                         Findings& findings);

/// Who vouches for a journal: the identity, under the name <origin>, and the key of epoch 0, which it certified.
struct Authority {
  std::string origin;
  Key identity;
  Key first;
};

/// A checkpoint in a file of the run ("recent note 3"). Its signatures are not checked yet.
struct StoredCheckpoint {
  std::shared_ptr<const std::string> bytes;  // `note` and `raw` point into it
  Note note;
  Checkpoint checkpoint;
  std::string where;
  std::string_view raw{};  // the whole note
};

struct Evidence {
  std::vector<StoredCheckpoint> epochs, newest, recent;  // by file; `newest`: the file `checkpoint`, at most one
};

/// Reads `keycert`. Returns nullopt when no trusted identity vouches for the journal; `findings` and `trust` say why.
enum class Trust : std::uint8_t { checked, no_key };
std::optional<Authority> read_authority(const Fd& directory, std::span<const std::string> trusted, Findings& findings,
                                        Trust& trust);

/// What the note in `keycert` certifies, if it is by `identity` (under any name) and valid.
std::optional<Authority> authority_of(std::string_view certificate, const Key& identity);

/// Reads `epochs`, `checkpoint` and `recent`. Reports notes that are malformed or of another journal as faults and
/// omits them.
Evidence read_evidence(const Fd& directory, const Authority& authority, Findings& findings);

}  // namespace agentrun::journal
