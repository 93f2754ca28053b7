// Which of many names is reported first: decoys are made further down than what a person works with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace agentrun::broker {

/// For comparisons: nearest is what lies in a .git near the top.
inline std::pair<bool, std::ptrdiff_t> farness(std::string_view path) {
  return {path.find("/.git/") == path.npos, std::ranges::count(path, '/')};
}

}  // namespace agentrun::broker
