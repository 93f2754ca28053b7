// Absolute, normal paths as text.
#pragma once

#include <cstddef>
#include <string_view>

namespace agentrun::policy {

/// Is `path` the folder itself or below it?
constexpr bool covers(std::string_view folder, std::string_view path) noexcept {
  if (folder == "/") return path.starts_with('/');
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

/// The folder that holds `path`; "/" for what stands in the root, and for the root.
constexpr std::string_view parent(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? path.substr(0, 1) : path.substr(0, slash);
}

constexpr std::size_t depth(std::string_view path) noexcept {
  std::size_t count = 0;
  for (const char c : path) count += c == '/' ? 1U : 0U;
  return path == "/" ? 0 : count;
}

}  // namespace agentrun::policy
