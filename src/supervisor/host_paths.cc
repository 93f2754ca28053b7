#include "supervisor/host_paths.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace agentrun::supervisor {

namespace {
constexpr int max_links = 40;  // path_resolution(7)
}  // namespace

const HostPaths::Object& HostPaths::look(const std::string& path) {
  const auto [at, fresh] = objects_.try_emplace(path);
  if (!fresh) return at->second;
  char text[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
  at->second.exists = size >= 0 || errno == EINVAL;  // EINVAL: there, and no link
  if (size >= 0) at->second.link.emplace(text, static_cast<std::size_t>(size));
  return at->second;
}

std::optional<std::string> HostPaths::canonical(const std::string& path) {
  std::string pending = path;
  std::string done;
  int links = 0;
  for (std::size_t at = 0; at < pending.size();) {
    const std::size_t end = std::min(pending.find('/', at), pending.size());
    const std::string part = pending.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      done.erase(done.empty() ? 0 : done.rfind('/'));
      continue;
    }
    const Object& object = look(done + "/" + part);
    if (!object.exists) return std::nullopt;
    if (!object.link) {
      done += "/" + part;
      continue;
    }
    if (++links > max_links) return std::nullopt;
    const std::string rest = at < pending.size() ? pending.substr(at) : std::string{};
    if (object.link->starts_with('/')) done.clear();
    pending = *object.link + "/" + rest;
    at = 0;
  }
  return done.empty() ? "/" : done;
}

const std::vector<std::string>& HostPaths::entries(const std::string& folder) {
  const auto [at, fresh] = entries_.try_emplace(folder);
  if (!fresh) return at->second;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") at->second.emplace_back(name);
  }
  return at->second;
}

}  // namespace agentrun::supervisor
