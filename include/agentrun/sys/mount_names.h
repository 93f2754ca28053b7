// Names that bind mounts of the host give to one object: `mount --bind ~/real ~/alias`. From mountinfo alone: two
// mounts of one file system, of which one shows a part of what the other one shows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace agentrun {

/// All paths are absolute and canonical. Does not know second names that a file system itself makes (an overlay's
/// layers, bindfs, an NFS export that is mounted by another name).
class MountNames {
 public:
  MountNames() = default;
  /// Parses the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). Covered mounts and unlinked roots have no names.
  explicit MountNames(std::string_view mountinfo);

  [[nodiscard]] bool empty() const noexcept { return pairs_.empty(); }
  /// The other names of the object at this path, which need not exist. Empty: none.
  [[nodiscard]] std::vector<std::string> others(std::string_view path) const;
  /// The path, its other names, and the other names of parts of it that are also mounted elsewhere. Each once.
  [[nodiscard]] std::vector<std::string> with_parts(std::string_view path) const;
  /// True when an object at or below this path, or a part of it, has several names.
  [[nodiscard]] bool holds(std::string_view path) const;

  /// Where a mount stands, and the other name of its root.
  struct Pair {
    std::string place, other;
  };
  [[nodiscard]] const std::vector<Pair>& pairs() const noexcept { return pairs_; }
  /// Removes the pairs for which `keep(place, other)` is false.
  template <typename Keep>
  void restrict_to(const Keep& keep) {
    std::erase_if(pairs_, [&](const Pair& pair) { return !keep(pair.place, pair.other); });
  }

 private:
  struct Mount {
    std::uint64_t id = 0, parent = 0;
    std::string file_system, root, place;
  };
  static bool parse_line(std::string_view line, Mount& mount);
  void index_children();
  void find_pairs();
  /// The index of the mount that contains a path; npos when it is not listed.
  [[nodiscard]] std::size_t mount_of(std::string_view path) const;

  std::vector<Mount> mounts_;
  std::unordered_map<std::string, std::size_t> children_;  // the parent's number, a blank, the place → the mount
  std::vector<Pair> pairs_;
};

/// The mount names of this process. Throws SysError when mountinfo cannot be read.
MountNames read_mount_names();

}  // namespace agentrun
