// Before a folder moves: is there anything in it that a deny, protect or keep rule guards, where it is or where it would be?
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include <memory>

#include "broker/handler.h"

namespace agentrun::broker {

namespace {

constexpr std::size_t max_entries = 200'000;
constexpr int max_depth = 128;

class Scan {
 public:
  Scan(const policy::Policy& policy, std::int64_t began, std::string& found) : policy_(policy), began_(began), found_(found) {}

  int folder(int dirfd, const char* name, std::string& from, std::string& to, int depth) {
    if (depth > max_depth) return EXDEV;
    const open_how how{.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                       .mode = 0,
                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const int fd = static_cast<int>(::syscall(SYS_openat2, dirfd, name, &how, sizeof how));
    if (fd < 0) return errno == EACCES ? EXDEV : errno;  // what cannot be read cannot be vouched for
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(fd), ::closedir);
    if (!dir) {
      ::close(fd);
      return ENOMEM;
    }
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (entry == nullptr) return errno;
      if (const int error = one(fd, *entry, from, to, depth); error != 0) return error;
    }
  }

 private:
  int one(int fd, const dirent& entry, std::string& from, std::string& to, int depth) {
    const std::string_view name = entry.d_name;
    if (name == "." || name == "..") return 0;
    if (++entries_ > max_entries) return EXDEV;
    const std::size_t from_size = from.size();
    const std::size_t to_size = to.size();
    from.append("/").append(name);
    to.append("/").append(name);
    int error = guarded(fd, entry, from) || guarded(fd, entry, to) ? EACCES : 0;
    if (error == 0 && entry.d_type == DT_LNK && policy_.on_the_way(to) != nullptr) {
      found_ = to;
      error = EACCES;
    }
    const bool deeper = entry.d_type == DT_DIR || entry.d_type == DT_UNKNOWN;
    if (error == 0 && deeper && (policy_.may_guard_below(from) || policy_.may_guard_below(to))) {
      error = folder(fd, entry.d_name, from, to, depth + 1);
      if (error == ENOTDIR && entry.d_type == DT_UNKNOWN) error = 0;
    }
    from.resize(from_size);
    to.resize(to_size);
    return error;
  }

  bool guarded(int fd, const dirent& entry, const std::string& path) {
    if (!policy_.guarded(policy::Right::change, path)) return false;
    const bool kept_only = !policy_.guarded(policy::Right::change, path, policy::Age::since);
    if (kept_only && age_of(fd, entry.d_name, began_) == policy::Age::since) return false;
    found_ = path;
    return true;
  }

  const policy::Policy& policy_;
  const std::int64_t began_;
  std::string& found_;
  std::size_t entries_ = 0;
};

}  // namespace

int scan_guarded(const policy::Policy& policy, std::int64_t began, const Fd& parent, const std::string& name, const std::string& from,
                 const std::string& to, std::string& found) {
  std::string from_path = from;
  std::string to_path = to;
  std::string folder = name;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return Scan(policy, began, found).folder(parent.get(), folder.c_str(), from_path, to_path, 0);
}

}  // namespace agentrun::broker
