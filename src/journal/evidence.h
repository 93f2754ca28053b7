// The signed parts of a journal: the certificate and the checkpoints, with every signature checked (rules V1, V2, V7).
#pragma once

#include <agentrun/journal.h>
#include <agentrun/sys/fd.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "journal/findings.h"

namespace agentrun::journal {

/// A key and where its closing checkpoint ended it.
struct Epoch {
  Key key;
  std::optional<Checkpoint> closing;
};

/// Who speaks for this journal: the identity under the name <origin>, and the epochs, of which the first is certified.
struct Authority {
  std::string origin;
  Key identity;
  std::vector<Epoch> epochs;
};

/// A checkpoint whose signatures hold, and the file that keeps it ("recent note 3").
struct Head {
  Checkpoint checkpoint;
  std::string where;
};

/// Reads `keycert`. nullopt when nobody trusted stands behind the journal; `findings` and `no_key` then say why.
enum class Trust : std::uint8_t { checked, no_key };
std::optional<Authority> read_authority(const Fd& directory, std::span<const std::string> trusted, Findings& findings,
                                        Trust& trust);

/// Reads `epochs`, `checkpoint` and `recent`; marks the epochs that are closed. What does not hold is a fault and left
/// out. The result is sorted by size.
std::vector<Head> read_heads(const Fd& directory, Authority& authority, Findings& findings);

}  // namespace agentrun::journal
