// Checks time stamps: those in the run's directory, and those that the caller gave.
#pragma once

#include <agentrun/journal.h>
#include <agentrun/sys/fd.h>

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "journal/verify/evidence.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

/// The stamp.N.note and stamp.N.tsr of a run, ordered by N. Malformed files are faults and omitted.
struct StoredStamps {
  std::vector<Anchor> notes;
  std::vector<Anchor> replies;
};
StoredStamps read_stamps(const Fd& directory, const std::string& origin, Findings& findings);

/// Rule V6: each stamp is of a known checkpoint, of the journal or of `anchors` (whose roots anchors.h checks). Throws
/// Refusal for a stamp in `anchors` that is damaged or of an unknown checkpoint.
void judge_stamps(const StoredStamps& stored, const Evidence& evidence, std::span<const Anchor> anchors,
                  std::string_view authorities, Findings& findings);

}  // namespace agentrun::journal
