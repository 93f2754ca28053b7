// Resolves a path of the host as path_resolution(7) does, and reports the symbolic links on the way.
#pragma once

#include <agentrun/sandbox.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agentrun::sandbox {

/// Where a path leads.
struct HostWalk {
  std::string path;                                        // without links, "." and ".."
  Entry entry;                                             // of `path`
  std::vector<std::pair<std::string, std::string>> links;  // each link followed: its path and its text, in order
};

/// `path`: absolute. Components that do not exist are taken literally. Throws Refusal after 40 links.
HostWalk walk_host(const Host& host, const std::string& path);

/// "/a" and "b" → "/a/b".
std::string child_path(const std::string& directory, std::string_view name);

}  // namespace agentrun::sandbox
