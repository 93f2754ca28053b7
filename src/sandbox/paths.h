// Text of absolute, normal paths ("/", "/a/b"): no ".", "..", "//" or trailing "/". Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace agentrun::sandbox {

/// `path` is `root` or lies below it.
constexpr bool within(std::string_view path, std::string_view root) noexcept {
  if (root == "/") return path.starts_with('/');
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

/// "/a/b" → "/a"; "/a" → "/"; "/" → "/".
constexpr std::string_view parent_of(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? std::string_view("/") : path.substr(0, slash);
}

constexpr std::string_view name_of(std::string_view path) noexcept {
  return path.substr(path.rfind('/') + 1);
}

/// Number of components: "/" is 0.
inline std::ptrdiff_t depth_of(std::string_view path) noexcept {
  return path == "/" ? 0 : std::count(path.begin(), path.end(), '/');
}

}  // namespace agentrun::sandbox
