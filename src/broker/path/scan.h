// What moves or opens with a directory: guarded names below it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// The rules and what stands for guarded names, for scan_guarded().
struct ScanRules {
  const policy::Policy& policy;
  const policy::ProtectedObjects& objects;
  const std::int64_t began;                          // files.keep guards what is older
  const policy::FoldedRules* folded = nullptr;       // when one of the two directories folds names
  std::vector<std::string>* repositories = nullptr;  // gets the directories that may be git's, by where they go
};
/// May something be guarded below this path, by whatever name?
[[nodiscard]] bool may_guard_below(const ScanRules& rules, const std::string& path);
/// Is what stands there, links not followed, or the descriptor itself for "", younger than `began`? False where the
/// file system does not keep births.
[[nodiscard]] bool made_since(int fd, const char* name, std::int64_t began);
/// Searches the directory `name` in `parent` for something that is guarded where it stands (`from`) or would be guarded
/// where it goes (`to`). 0: nothing; EACCES: yes, `found` is the guarded path and `denial` says by what, or `found` is
/// a directory that cannot be listed and may hold something guarded (policy::DecidedBy::fail); EXDEV: too much to
/// search, and programs fall back to copying.
int scan_guarded(const ScanRules& rules, const Fd& parent, const std::string& name, const std::string& from,
                 const std::string& to, std::string& found, policy::ProtectedObjects::Denial& denial);

}  // namespace agentrun::broker
