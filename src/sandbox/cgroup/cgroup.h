// Control groups, version 2 (Linux, Documentation/admin-guide/cgroup-v2.rst), which enforce limits of a whole process
// tree. A run has at most one, and only when a limit needs it.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::sandbox {

/// A file of a control group and what is written to it. Pure: see settings_for().
struct Setting {
  enum class Need : std::uint8_t { required, where_there } need{};
  std::string file, value;
  friend bool operator==(const Setting&, const Setting&) = default;
};
std::vector<Setting> settings_for(const TreeLimits& limits);
std::set<std::string> controllers_for(const TreeLimits& limits);
/// The words of a file such as cgroup.controllers.
std::set<std::string> words_of(std::string_view text);
/// pids.max for this number of the agent's tasks. Pid 1 of the sandbox is in the group too.
std::uint64_t tasks_in_group(std::uint64_t tasks) noexcept;

/// The mount point of the hierarchy and the directory of a process's group.
struct Position {
  std::string mount, own;
};
/// From /proc/<pid>/mountinfo and /proc/<pid>/cgroup (cgroups(7)). nullopt without version 2, or when the mount does
/// not show the group. Pure.
std::optional<Position> find_position(std::string_view mountinfo, std::string_view cgroup);
std::optional<Position> position_of(pid_t pid);

/// Whether systemd manages this host. If so, agent-run changes only groups that systemd marks as delegated.
enum class Managed : std::uint8_t { by_systemd, by_nobody };
Managed who_manages();

/// The directory, from `own` upwards, in which groups with the most controllers can be made; the nearest of equals.
LimitsHost::Offer look_at_subtree(const std::optional<Position>& position, Managed managed,
                                  std::string_view proc_cgroups);

/// The control group of a run. The destructor kills its processes and removes it.
class Group {
 public:
  Group() noexcept = default;
  /// Makes a group below `parent`, writes its limits and reads them back. Removes groups of runs that were killed.
  /// Throws SysError.
  static Group make(const std::string& parent, const TreeLimits& limits);
  /// Takes over a group that systemd made, and reads its limits back. Throws SysError.
  static Group adopt(const std::string& directory, const TreeLimits& limits);
  Group(Group&&) noexcept = default;
  Group& operator=(Group&& other) noexcept;
  ~Group() { end(); }

  explicit operator bool() const noexcept { return static_cast<bool>(directory_); }
  [[nodiscard]] const Fd& directory() const noexcept { return directory_; }  // for CLONE_INTO_CGROUP
  [[nodiscard]] std::uint64_t oom_kills() const noexcept;
  /// Writes cgroup.kill, and removes the group if make() made it. oom_kills() still works afterwards.
  void end() noexcept;

 private:
  Fd directory_;  // O_RDONLY; holds the lock that marks the group as in use
  std::string path_;
  bool made_ = false;
  std::uint64_t last_oom_kills_ = 0;
};

/// Removes empty groups below `parent` whose supervisor was killed: nobody holds their lock.
void remove_stale_groups(const std::string& parent) noexcept;

}  // namespace agentrun::sandbox
