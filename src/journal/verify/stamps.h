// The time stamps of a journal: those that are kept beside it, and those that a verifier was given.
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

/// stamp.N.note and stamp.N.tsr of a run, by N. What is malformed is a fault and left out.
struct KeptStamps {
  std::vector<Anchor> notes;
  std::vector<Anchor> replies;
};
KeptStamps read_stamps(const Fd& directory, const std::string& origin, Findings& findings);

/// What the stamps say (V6), each of one of the checkpoints that are known: those of the journal and those of
/// `anchors`, whose roots are judged elsewhere. Throws Refusal for one that was given (not kept) and is of nothing
/// known, or damaged.
void judge_stamps(const KeptStamps& kept, const Evidence& evidence, std::span<const Anchor> anchors,
                  std::string_view authorities, Findings& findings);

}  // namespace agentrun::journal
