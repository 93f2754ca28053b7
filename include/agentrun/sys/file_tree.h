// A file tree, as searches see it: an interface, so that searches can be tested without files, and the host's tree.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <agentrun/sys/mount_names.h>

namespace agentrun {

struct TreeNode {
  enum class Kind : std::uint8_t { absent, file, directory, link, other };
  Kind kind = Kind::absent;
  std::string text;                           // link: where it leads
  std::uint64_t dev = 0, ino = 0, links = 0;  // as stat(2) gives them
};

class Tree {
 public:
  Tree() = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  virtual ~Tree() = default;

  /// The entry at an absolute path; does not follow the last component. An entry that this user cannot reach is absent.
  virtual TreeNode look(const std::string& path) = 0;
  /// The text of the link at this path; empty when there is no link.
  virtual std::string link_text(const std::string& path) { return look(path).text; }
  /// How much of a directory was shown. `shut`: nothing, and this user can reach nothing in it before its owner, who
  /// this user is, changes its mode. `partly`: some of what this user could open there may be missing.
  enum class Listed : std::uint8_t { whole, shut, partly };
  /// Shows the names in a directory, without "." and "..", in any order.
  using Each = std::function<void(std::string_view name, TreeNode::Kind kind)>;
  virtual Listed list(const std::string& directory, const Each& each) = 0;
  /// What a regular file holds; nullopt when it is none, holds more than `limit` bytes or cannot be read. A link is not
  /// followed.
  virtual std::optional<std::string> content(const std::string& path, std::size_t limit) = 0;
  /// Does the file system take names that differ in letter case, or more, for the same in this directory? True when in
  /// doubt.
  virtual bool folds(const std::string& directory) = 0;
  /// The names that mounts give to one object. Throws SysError when they cannot be read.
  virtual MountNames mount_names() { return {}; }
};

/// The file system of this process. Takes absolute paths only. Caches nothing.
class HostTree final : public Tree {
 public:
  TreeNode look(const std::string& path) override;
  std::string link_text(const std::string& path) override;
  Listed list(const std::string& directory, const Each& each) override;
  std::optional<std::string> content(const std::string& path, std::size_t limit) override;
  bool folds(const std::string& directory) override;
  MountNames mount_names() override { return read_mount_names(); }
};

/// Does the file system take names that differ in letter case for the same in this directory? By its type, and by the
/// mark of a directory where the type has one (FS_CASEFOLD_FL); true for types that are not known. `directory`: any
/// descriptor.
bool directory_folds(int directory);

}  // namespace agentrun
