// Mounts as proc_pid_mountinfo(5) lists them. To find the mount of a path, this walks from the root, mount by mount, as
// the kernel does. A covered mount has no names.
#include <agentrun/sys/mount_names.h>
#include <agentrun/sys/mountinfo.h>

#include <agentrun/sys/paths.h>
#include <agentrun/sys/process.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_set>
#include <utility>

namespace agentrun {

namespace {

constexpr std::size_t longest = 64U << 20;
constexpr std::size_t not_listed = static_cast<std::size_t>(-1);

std::string_view next_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool number(std::string_view word, std::uint64_t& value) {
  return std::from_chars(word.data(), word.data() + word.size(), value).ec == std::errc();
}

// Maps `inside`, a path below `above`, to the same path below `base`.
std::string moved(std::string_view path, std::string_view above, const std::string& base) {
  const std::string_view rest = above == "/" ? (path == "/" ? std::string_view() : path) : path.substr(above.size());
  if (rest.empty()) return base;
  return (base == "/" ? std::string() : std::string(base)).append(rest);
}

std::string key(std::uint64_t parent, std::string_view place) {
  return std::to_string(parent).append(" ").append(place);
}

// On nfs and cifs, mounts of different parts of an export share the device and the root "/". Only the source differs.
bool is_remote(std::string_view type) {
  return type.starts_with("nfs") || type == "cifs" || type == "smb3" || type == "9p" || type == "ceph";
}

}  // namespace

std::string unescape_mountinfo(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 3 >= text.size()) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return plain;
}

// ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS [FIELD…] - TYPE SOURCE SUPER
bool MountNames::parse_line(std::string_view line, Mount& mount) {
  if (!number(next_word(line), mount.id) || !number(next_word(line), mount.parent)) return false;
  const std::string_view device = next_word(line), root = next_word(line), place = next_word(line);
  if (!root.starts_with('/') || !place.starts_with('/')) return false;  // a namespace
  while (!line.empty() && next_word(line) != "-") continue;
  const std::string_view type = next_word(line), source = next_word(line);
  mount.file_system = std::string(device).append(is_remote(type) ? source : std::string_view());
  mount.root = unescape_mountinfo(root);
  mount.place = unescape_mountinfo(place);
  if (mount.root.ends_with("//deleted")) mount.root.clear();
  return true;
}

MountNames::MountNames(std::string_view mountinfo) {
  while (!mountinfo.empty()) {
    const std::size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    Mount mount;
    if (parse_line(mountinfo.substr(0, end), mount)) mounts_.push_back(std::move(mount));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
  }
  index_children();
  find_pairs();
}

// A walk begins at the mount whose parent is not listed.
void MountNames::index_children() {
  std::unordered_set<std::uint64_t> listed;
  for (const Mount& mount : mounts_) listed.insert(mount.id);
  for (std::size_t i = 0; i < mounts_.size(); ++i) {
    Mount& mount = mounts_[i];
    if (mount.parent == mount.id || !listed.contains(mount.parent)) mount.parent = 0;
    children_[key(mount.parent, mount.place)] = i;
  }
}

std::size_t MountNames::mount_of(std::string_view path) const {
  std::size_t at = not_listed;
  for (std::size_t end = 0; end <= path.size();) {
    const std::string_view here = end == 0 ? std::string_view("/") : path.substr(0, end);
    for (;;) {  // several on one place
      const auto child = children_.find(key(at == not_listed ? 0 : mounts_[at].id, here));
      if (child == children_.end() || child->second == at) break;
      at = child->second;
    }
    if (end == path.size() || path == "/") break;
    end = std::min(path.find('/', end + 1), path.size());
  }
  return at;
}

void MountNames::find_pairs() {
  std::map<std::pair<std::string_view, std::string_view>, std::vector<std::size_t>> by_root;
  for (std::size_t i = 0; i < mounts_.size(); ++i) {
    if (!mounts_[i].root.empty()) by_root[{mounts_[i].file_system, mounts_[i].root}].push_back(i);
  }
  for (std::size_t i = 0; i < mounts_.size(); ++i) {
    const Mount& mount = mounts_[i];
    if (mount.root.empty()) continue;
    for (std::string_view above = mount.root;; above = parent_of(above)) {
      const auto found = by_root.find({mount.file_system, above});
      for (const std::size_t other : found == by_root.end() ? std::vector<std::size_t>() : found->second) {
        std::string name = moved(mount.root, above, mounts_[other].place);
        const bool known = std::ranges::any_of(
            pairs_, [&](const Pair& pair) { return pair.place == name && pair.other == mount.place; });
        if (other == i || name == mount.place || known || mount_of(name) != other || mount_of(mount.place) != i)
          continue;
        pairs_.push_back({.place = mount.place, .other = std::move(name)});
      }
      if (above == "/") break;
    }
  }
}

std::vector<std::string> MountNames::others(std::string_view path) const {
  std::vector<std::string> names;
  if (pairs_.empty()) return names;
  const std::size_t here = mount_of(path);
  if (here == not_listed || mounts_[here].root.empty()) return names;
  const Mount& mount = mounts_[here];
  const std::string inside = moved(path, mount.place, mount.root);
  for (const Pair& pair : pairs_) {
    for (const auto& [from, to] : {std::pair(&pair.place, &pair.other), std::pair(&pair.other, &pair.place)}) {
      if (!within(path, *from)) continue;
      std::string name = moved(path, *from, *to);
      const std::size_t there = mount_of(name);
      if (name == path || there == not_listed || mounts_[there].file_system != mount.file_system ||
          mounts_[there].root.empty())
        continue;
      // Another mount may cover it.
      if (moved(name, mounts_[there].place, mounts_[there].root) != inside) continue;
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
  }
  return names;
}

std::vector<std::string> MountNames::with_parts(std::string_view path) const {
  std::vector<std::string> names = others(path);
  names.insert(names.begin(), std::string(path));
  const auto add = [&](const std::string& name) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  for (const Pair& pair : pairs_) {
    if (within(pair.place, path)) add(pair.other);
    if (within(pair.other, path)) add(pair.place);
  }
  return names;
}

bool MountNames::holds(std::string_view path) const {
  return std::ranges::any_of(pairs_,
                             [&](const Pair& pair) { return within(pair.place, path) || within(pair.other, path); });
}

MountNames read_mount_names() {
  return MountNames(read_file("/proc/self/mountinfo", longest));
}

}  // namespace agentrun
