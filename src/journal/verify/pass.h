// One pass over the records, or over the hashes of pruned ones: recomputes the tree and notes its root wherever a
// checkpoint was signed.
#pragma once

#include <agentrun/journal/verify.h>
#include <agentrun/sys/fd.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "journal/verify/chain.h"
#include "journal/verify/course.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

struct Pass {
  bool closed = false;         // the last record is journal.close
  std::int64_t closed_at = 0;  // its time, ns by the wall clock
};

/// Fills `milestones` at the sizes that are in it, removes those beyond the end, and fills the counts and the root of
/// `report`. Bytes are hashed before they are parsed. Throws SysError.
Pass read_records(const Fd& directory, Milestones& milestones, Course& course, Report& report, Findings& findings,
                  const std::function<void(std::uint64_t done, std::uint64_t all)>& progress);

/// The same for a journal whose records were pruned: reads at most `limit` hashes, and `preserved`, the few records
/// that were not pruned, by index. A preserved record counts only if its hash is the signed one.
Pass read_hashes(const Fd& directory, const std::map<std::uint64_t, std::string>& preserved, std::uint64_t limit,
                 Milestones& milestones, Report& report, Findings& findings);

}  // namespace agentrun::journal
