// Computes the mount view of a plan: one step for each path that the sandbox makes, in mount order. Pure but for the
// Host.
#pragma once

#include <agentrun/sandbox.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::sandbox {

/// Collects the steps by target: exactly one step makes a path of the view.
class MountPlanner {
 public:
  /// Starts with the root, /proc and /dev. All three arguments must outlive it.
  MountPlanner(const policy::Policy& policy, const Host& host, const Launch& launch);

  // In this order; each throws Refusal.
  void collect_denied();
  /// A home directory in memory, unless a grant shows the real one.
  void show_home();
  void show_grants();
  /// Binds each granted socket by its inode. A directory that is shown has its sockets already.
  void show_sockets();
  /// A grant written through symbolic links can be reached by the same links inside.
  void show_links();
  /// A generated file, unless the view has the path already.
  void show_text(const std::string& target, const std::string& text);
  /// A generated file that replaces what the view has at the path, also where a symbolic link there leads.
  void override_text(std::string_view path, std::string_view text);
  /// Masks what the view would show of the denied paths.
  void hide();
  /// Adds the directories between the root and each step, where the sandbox's own file systems hold them.
  void add_directories();
  void require_workspace() const;

  /// True when the path will be there inside: bound and on the host, or made by a step.
  [[nodiscard]] bool exists(const std::string& path) const;
  /// The steps, parents before children.
  [[nodiscard]] std::vector<MountStep> ordered() const;
  [[nodiscard]] std::vector<LandlockStep> landlock() const;

 private:
  using Kind = MountStep::Kind;
  static bool is_bound(const MountStep& step) {
    return step.kind == Kind::bind || step.kind == Kind::overlay || (step.kind == Kind::root && !step.source.empty());
  }
  void add(MountStep step) { steps_.insert_or_assign(step.target, std::move(step)); }
  /// The mount that holds the directory of the path.
  [[nodiscard]] const MountStep& mount_above(std::string_view path) const;
  [[nodiscard]] bool denied(std::string_view path) const;
  [[nodiscard]] bool shown(const std::string& path) const;
  /// /proc and the nodes of /dev are always the sandbox's own. Below /dev/shm a profile can show the host's files.
  static bool reserved(std::string_view path);
  void show_scratch(const std::string& path, unsigned mode);
  void show(const policy::Grant& grant);
  void require_overlay_possible(const std::string& target) const;

  const policy::Policy& policy_;
  const Host& host_;
  const Launch& launch_;
  std::map<std::string, MountStep> steps_;
  std::size_t overlays_ = 0;
  std::vector<std::string> denied_;
};

}  // namespace agentrun::sandbox
