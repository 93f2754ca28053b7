// Rule V3: the records lead to the roots that were signed. Finds the record where they do not.
#pragma once

#include <agentrun/journal/verify.h>
#include <agentrun/sys/fd.h>

#include "journal/verify/chain.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

/// Compares the milestones with the signed heads. Reports the first difference only, with its place. Throws SysError.
void judge_tree(const Fd& directory, const Chain& chain, const Milestones& milestones, const Report& report,
                Findings& findings);

}  // namespace agentrun::journal
