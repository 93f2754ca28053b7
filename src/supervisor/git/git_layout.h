// What git on the host really opens when it is started in a directory that the agent may write: the directories behind
// a .git file, bare repositories, commondir, and the files that settings name.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <agentrun/policy.h>

#include "supervisor/git/git_settings.h"
#include "supervisor/host/host_paths.h"

namespace agentrun::supervisor {

/// A bounded look at the host, made once at the start of a run. Files of an earlier run's agent are read: every size,
/// number and depth has a bound, and nothing of a repository is executed. Looked at are the directories that may be
/// written, those above them, those one level below, and the repositories of their submodules. Deeper down the patterns
/// of git-safe hold, and the broker's search follows .git files and commondir, and what settings there name
/// (policy/search/git_found.cc).
class GitLayout {
 public:
  /// `home`: of the user, for ~ in settings. `own_settings`: the files of settings that git reads in every repository.
  /// `environment`: settings that stand there.
  GitLayout(HostPaths& host, std::string home, std::vector<std::string> own_settings, GitSettings environment)
      : host_(host),
        home_(std::move(home)),
        own_settings_(std::move(own_settings)),
        environment_(std::move(environment)) {}

  /// HostFacts::git. Throws Refusal when a file that says what git executes cannot be read.
  policy::HostFacts::Git look(const std::vector<std::string>& writable);
  /// Settings ("core.fsmonitor of FILE") whose value only a shell could follow.
  [[nodiscard]] const std::set<std::string>& unfollowed() const noexcept { return unfollowed_; }
  /// Every repository's directory that was found, `.git` among them. Canonical.
  [[nodiscard]] const std::set<std::string>& repositories() const noexcept { return repositories_; }

 private:
  void look_at(const std::string& directory);
  void look_below(const std::string& directory);
  void add_repository(const std::string& directory, const std::optional<std::string>& worktree);
  void add_worktrees(const std::string& repository);
  void add_modules(const std::string& directory, int depth);
  void read_settings(const std::string& file, const std::string& repository, int depth);
  void add_setting(const std::string& key, const std::string& value, const std::string& file,
                   const std::string& repository, int depth);
  void add_named(const std::string& path);
  void read_all_settings();
  [[nodiscard]] std::vector<std::string> bases_of(const std::string& repository) const;
  [[nodiscard]] bool is_writable(const std::string& path) const;
  std::optional<std::string> resolved(const std::string& path);

  HostPaths& host_;
  std::string home_;
  std::vector<std::string> own_settings_;
  GitSettings environment_;
  std::vector<std::string> writable_;
  std::set<std::string> repositories_;
  std::vector<std::pair<std::string, std::string>> worktrees_;  // repository, top of a worktree
  std::set<std::string> read_, named_, unfollowed_;
  std::size_t parsed_ = 0;
};

}  // namespace agentrun::supervisor
