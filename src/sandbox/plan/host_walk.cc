// Resolves a path of the host through the Host interface; RealHost answers with lstat(2) and readlink(2).
#include "sandbox/plan/host_walk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <deque>

#include <agentrun/sys/paths.h>

namespace agentrun::sandbox {

namespace {

constexpr int max_links = 40;  // path_resolution(7)

void push_front(std::deque<std::string>& pending, std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    begin = end + 1;
  }
  pending.insert(pending.begin(), parts.begin(), parts.end());
}

}  // namespace

std::string child_path(const std::string& directory, std::string_view name) {
  return (directory == "/" ? "/" : directory + "/").append(name);
}

HostWalk walk_host(const Host& host, const std::string& path) {
  HostWalk result{.path = "/", .entry = {.kind = Entry::Kind::directory}, .links = {}};
  std::deque<std::string> pending;
  push_front(pending, path);
  while (!pending.empty()) {
    const std::string part = std::move(pending.front());
    pending.pop_front();
    if (part == "..") {
      result.path = std::string(parent_of(result.path));
      continue;
    }
    const std::string next = child_path(result.path, part);
    result.entry = host.look(next);
    if (result.entry.kind != Entry::Kind::symlink) {
      result.path = next;
      continue;
    }
    if (result.links.size() == max_links)
      throw Refusal(path + ": too many symbolic links", "name the path that the links lead to");
    result.links.emplace_back(next, result.entry.link);
    if (result.entry.link.starts_with('/')) result.path = "/";
    push_front(pending, result.entry.link);
  }
  result.entry = host.look(result.path);
  return result;
}

Entry RealHost::look(const std::string& path) const {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return {};
  Entry entry{.kind = Entry::Kind::other, .link = {}, .dev = st.st_dev, .ino = st.st_ino};
  if (S_ISDIR(st.st_mode)) entry.kind = Entry::Kind::directory;
  if (S_ISREG(st.st_mode)) entry.kind = Entry::Kind::file;
  if (S_ISSOCK(st.st_mode)) entry.kind = Entry::Kind::socket;
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> text{};
    const ssize_t n = ::readlink(path.c_str(), text.data(), text.size());
    if (n <= 0) return {};
    entry.kind = Entry::Kind::symlink;
    entry.link.assign(text.data(), static_cast<std::size_t>(n));
  }
  return entry;
}

}  // namespace agentrun::sandbox
