// The naive matcher: a pattern tried on every prefix of a path, by recursion over components. Slow, and easy to
// believe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <agentrun/sys/glob.h>
#include "policy/match/pattern.h"

namespace agentrun::policy::test {

inline std::vector<std::string> cut(const std::string& path) {
  std::vector<std::string> names;
  for (std::size_t at = 1; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    names.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

// Does the pattern from component p on match exactly the names from n to `end`?
inline bool exactly(const PathPattern& pattern, std::size_t p, const std::vector<std::string>& names, std::size_t n,
                    std::size_t end) {
  if (p == pattern.components.size()) return n == end;
  const Component& component = pattern.components[p];
  if (component.kind == Component::Kind::any) {
    for (std::size_t skip = n; skip <= end; ++skip)
      if (exactly(pattern, p + 1, names, skip, end)) return true;
    return false;
  }
  if (n == end) return false;
  const bool same =
      component.kind == Component::Kind::glob ? Glob(component.text).matches(names[n]) : component.text == names[n];
  return same && exactly(pattern, p + 1, names, n + 1, end);
}

inline bool naive(const PathPattern& pattern, const std::string& path, std::uint32_t& depth) {
  const auto names = cut(path);
  bool any = false;
  for (std::size_t end = 0; end <= names.size(); ++end) {
    const bool fits = pattern.scope == Scope::self    ? end == names.size()
                      : pattern.scope == Scope::below ? end < names.size()
                                                      : true;
    if (!fits || !exactly(pattern, 0, names, 0, end)) continue;
    any = true;
    depth = static_cast<std::uint32_t>(end);
  }
  return any;
}

}  // namespace agentrun::policy::test
