// Where paths of the host lead. A start asks for hundreds of paths that share their directories: each is looked at
// once.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <agentrun/policy.h>

namespace agentrun::supervisor {

/// realpath(3); nullopt, with errno set, when nothing is there that this user can reach.
std::optional<std::string> real_path(const std::string& path);
/// Links followed.
bool is_directory(const std::string& path);

/// A snapshot, made on demand. Later changes do no harm: the launch compares device and inode of each mount with the
/// snapshot.
class HostPaths {
 public:
  /// realpath(3) of an absolute path; nullopt when nothing is there, or nothing that this user can reach.
  std::optional<std::string> canonical(const std::string& path);
  /// What exists of an absolute path, links followed, and the rest as it is: where it would come to be.
  std::string resolved(const std::string& path);
  /// policy::HostFacts::links.
  std::vector<std::string> links(const std::string& path);
  /// policy::HostFacts::scan.
  static bool scan(const std::string& directory, const policy::HostFacts::Visitor& visit);
  /// Can a program of this user that has no capability, as the command has none, come to know what a directory holds?
  /// Also when it would have to change the mode first, as the owner can. True when in doubt.
  static bool may_search(const std::string& directory);
  /// The same of all directories above a path.
  static bool may_reach(const std::string& path);
  /// The names in a directory, without "." and ".."; empty when it cannot be read.
  const std::vector<std::string>& entries(const std::string& directory);

 private:
  struct Object {
    bool exists = false;
    std::optional<std::string> link;  // the text of a symbolic link
  };
  const Object& look(const std::string& path);
  /// `through`: where each link was met, with those of a path that ends at nothing.
  std::optional<std::string> follow(const std::string& path, std::vector<std::string>& through);

  std::unordered_map<std::string, Object> objects_;
  std::unordered_map<std::string, std::vector<std::string>> entries_;
};

}  // namespace agentrun::supervisor
