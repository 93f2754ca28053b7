// The facts of host and environment that compiling a policy needs, for a start and for commands that judge like one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/supervisor.h>
#include <agentrun/sys/file_tree.h>
#include "supervisor/git/git_layout.h"
#include "supervisor/host/host_paths.h"

namespace agentrun::supervisor {

/// A variable of the environment; nullopt also when it is empty.
std::optional<std::string> environment_variable(const char* name);

/// The host as one start looks at it: each path once.
class HostSnapshot {
 public:
  explicit HostSnapshot(const Places& places);
  HostSnapshot(const HostSnapshot&) = delete;
  HostSnapshot& operator=(const HostSnapshot&) = delete;

  [[nodiscard]] HostPaths& paths() noexcept { return paths_; }
  [[nodiscard]] HostTree& tree() noexcept { return tree_; }
  [[nodiscard]] const GitLayout& git() const noexcept { return git_; }
  /// Its functions refer to this object, which must outlive them. The caller adds what only it knows: the workspace,
  /// `own` and `agent_could_write`.
  [[nodiscard]] policy::HostFacts facts();

 private:
  std::string home_named_, home_;  // as HOME says, and canonical
  HostPaths paths_;
  HostTree tree_;
  GitLayout git_;
};

}  // namespace agentrun::supervisor
