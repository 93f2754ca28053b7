// The signed parts of a journal: the certificate and the checkpoints, read strictly (rules V1, V7). Whether the
// signatures of the checkpoints hold is known only when the records were read, which announce the keys: chain.h.
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

/// A file of a run. One that is no regular file, or longer than any that is written, is a fault (V7), and nothing of it
/// is read; nullopt for that, and when it is absent. Throws SysError.
std::optional<std::string> read_kept_file(const Fd& directory, const std::string& name, std::size_t limit,
                                          Findings& findings);

/// Who speaks for this journal: the identity under the name <origin>, and the key of epoch 0, which it certified.
struct Authority {
  std::string origin;
  Key identity;
  Key first;
};

/// A checkpoint as a file keeps it ("recent note 3"). Its signatures are not checked yet.
struct Kept {
  std::shared_ptr<const std::string> bytes;  // that `note` points into
  Note note;
  Checkpoint checkpoint;
  std::string where;
  std::string_view raw{};  // the whole note, in `bytes`
};

struct Evidence {
  std::vector<Kept> epochs, newest, recent;  // of the files of these names; `newest`: of `checkpoint`, one at most
};

/// Reads `keycert`. nullopt when nobody trusted stands behind the journal; `findings` and `no_key` then say why.
enum class Trust : std::uint8_t { checked, no_key };
std::optional<Authority> read_authority(const Fd& directory, std::span<const std::string> trusted, Findings& findings,
                                        Trust& trust);

/// What the note in a `keycert` establishes when it is by `identity` (a key under any name); nullopt when it does not
/// hold.
std::optional<Authority> authority_of(std::string_view certificate, const Key& identity);

/// Reads `epochs`, `checkpoint` and `recent`. What is malformed or of another journal is a fault and left out.
Evidence read_evidence(const Fd& directory, const Authority& authority, Findings& findings);

}  // namespace agentrun::journal
