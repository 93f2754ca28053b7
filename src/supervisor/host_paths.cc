#include "supervisor/host_paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace agentrun::supervisor {

namespace {
constexpr int max_links = 40;  // path_resolution(7)
constexpr std::size_t max_depth = 256;  // open folders at once

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

// Some file systems do not say what an entry is (readdir(3)).
bool is_kind(DIR* directory, const dirent& entry, unsigned char type, mode_t mode) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == type;
  struct stat st {};
  return ::fstatat(::dirfd(directory), entry.d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == mode;
}
bool is_link(DIR* directory, const dirent& entry) { return is_kind(directory, entry, DT_LNK, S_IFLNK); }
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
  const Directory directory(::opendir(folder.c_str()), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") at->second.emplace_back(name);
  }
  return at->second;
}

// By descriptors: a long path is walked once, not once an entry.
bool HostPaths::scan(const std::string& folder, const policy::HostFacts::Visitor& visit) {
  using Visit = policy::HostFacts::Visit;
  struct Open {
    Directory directory;
    std::string path;
  };
  const auto open = [](int parent, const char* name) {
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    DIR* const directory = fd < 0 ? nullptr : ::fdopendir(fd);
    if (fd >= 0 && directory == nullptr) ::close(fd);
    return Directory(directory, ::closedir);
  };
  std::vector<Open> stack;
  if (Directory first = open(AT_FDCWD, folder.c_str())) stack.push_back({std::move(first), folder == "/" ? "" : folder});
  while (!stack.empty()) {
    const dirent* const entry = ::readdir(stack.back().directory.get());
    if (entry == nullptr) {
      stack.pop_back();
      continue;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || is_link(stack.back().directory.get(), *entry)) continue;
    const std::string path = stack.back().path + "/" + std::string(name);
    const bool is_folder = is_kind(stack.back().directory.get(), *entry, DT_DIR, S_IFDIR);
    const Visit how = visit(path, is_folder);
    if (how == Visit::stop) return false;
    if (how != Visit::into || !is_folder) continue;
    if (stack.size() >= max_depth) return false;
    if (Directory next = open(::dirfd(stack.back().directory.get()), entry->d_name)) stack.push_back({std::move(next), path});
  }
  return true;
}

}  // namespace agentrun::supervisor
