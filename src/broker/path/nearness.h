// Orders names for reports: decoys are made further down than the files that a person works with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace agentrun::broker {

/// A value for comparisons: a path in a .git near the top is nearest.
inline std::pair<bool, std::ptrdiff_t> farness(std::string_view path) {
  return {path.find("/.git/") == path.npos, std::ranges::count(path, '/')};
}

}  // namespace agentrun::broker
