// Applies held changes to the host.
//
// Theory of operation. Changes are applied one by one, a directory before its content. A file or link is made complete
// under a random name beside its target, then renamed over it. A directory to remove is renamed first, then emptied. So
// at any moment each path has the old or the new object, and a kill leaves at most one random name. The file `leftover`
// has that name for the next apply or discard, which removes it. The file `applied` lists the changes that reached the
// host. A kill between the two loses nothing, because a path that equals the host is no change (layer_scan.cc). Modes
// and times of directories are set last, deepest first: a directory's final mode may forbid writing, and each change in
// it sets its time.
//
// Must not:
// - follow a link, on either side: openat2 beneath the directory that was pinned by inode;
// - take an attribute from the overlay except the nine permission bits and the time: the host's file keeps all others;
// - overwrite what the host changed during or after the run, or created where nothing was.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>

#include <agentrun/review.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include "review/layer_scan.h"
#include "review/overlay_store.h"
#include "review/review_fields.h"

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

constexpr std::size_t block = 256 * 1024;

std::string self_path(const Fd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

// Preserves holes: an empty file of a terabyte takes no space.
void copy_bytes(const Fd& from, const Fd& to, const std::string& path) {
  struct stat st {};
  check(::fstat(from.get(), &st), "fstat", path);
  std::vector<char> bytes(block);
  for (off_t at = 0; at < st.st_size;) {
    const off_t data = ::lseek(from.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const off_t hole = data < 0 ? st.st_size : ::lseek(from.get(), data, SEEK_HOLE);
    for (at = std::max<off_t>(data, at); at < hole;) {
      const std::size_t most = std::min(block, static_cast<std::size_t>(hole - at));
      const ssize_t n = check(::pread(from.get(), bytes.data(), most, at), "read", path);
      if (n == 0) throw SysError(EIO, "read", path);
      for (ssize_t done = 0; done < n;)
        done += check(::pwrite(to.get(), bytes.data() + done, static_cast<std::size_t>(n - done), at + done), "write",
                      path);
      at += n;
    }
  }
  check(::ftruncate(to.get(), st.st_size), "ftruncate", path);
}

// Copies ACL and extended attributes of the replaced file. Skips those that this user may not set.
void keep_attributes(const Fd& from, const Fd& to) {
  std::string names(64 * 1024, '\0'), value(64 * 1024, '\0');
  const ssize_t size = ::flistxattr(from.get(), names.data(), names.size());
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(std::string_view(names.data() + at).size()) + 1) {
    const char* name = names.data() + at;
    const std::string_view text = name;
    if (!text.starts_with("user.") && text != "system.posix_acl_access") continue;
    const ssize_t n = ::fgetxattr(from.get(), name, value.data(), value.size());
    if (n >= 0) (void)::fsetxattr(to.get(), name, value.data(), static_cast<std::size_t>(n), 0);
  }
}

int rename_at(const Fd& directory, const std::string& from, const std::string& to, unsigned flags) {
  return ::syscall(SYS_renameat2, directory.get(), from.c_str(), directory.get(), to.c_str(), flags) == 0 ? 0 : errno;
}

}  // namespace

class Applier {
 public:
  Applier(Overlays& overlays, std::size_t target)
      : overlays_(overlays),
        target_(target),
        upper_(overlays.layer(target)),
        host_(overlays.host_directory(target)),
        leftover_(open_note(leftover_name)),
        applied_(open_note(applied_name, O_APPEND)) {}

  void apply(const Change& change, Overlays::Over over) {
    if (!change.refused.empty()) throw Refusal(change.refused);
    const Found now = look(host_, change.path);
    const bool merged = now.entry.kind == Kind::directory && change.after.kind == Kind::directory;
    if (over == Overlays::Over::nothing && !merged && changed_since(host_, change.path, overlays_.began_ns_))
      throw Refusal("the host changed it after the run began");
    if (now.entry.kind == Kind::directory && !merged) refuse_mounts(host_, change.path);
    const Fd directory = try_open_beneath(host_, directory_of(change.path), O_PATH | O_DIRECTORY);
    if (!directory) throw Refusal("its parent is not a directory on the host");
    for (std::string above = change.path; !above.empty();) directories_.try_emplace(above = directory_of(above));
    if (now.entry.kind == change.after.kind && change.difference < Difference::content)
      return change_attributes(directory, change);
    make_writable(directory, directory_of(change.path));
    switch (change.after.kind) {
      case Kind::absent:
        remove(directory, change, now);
        break;
      case Kind::directory:
        make_directory(directory, change, now);
        return;  // noted by finish()
      case Kind::file:
        put(directory, change, now, [&](const std::string& name) { write_file(directory, name, change, now); });
        break;
      case Kind::link:
        put(directory, change, now, [&](const std::string& name) {
          check(::symlinkat(change.after.link.c_str(), directory.get(), name.c_str()), "symlink", change.path);
          set_time(directory, name, look(upper_, change.path).st);
        });
        break;
      case Kind::special:
        throw Refusal("a device, FIFO or socket");
    }
    note(change.path);
  }

  /// Sets modes and times of the directories that were made or changed, or in which something was applied: last,
  /// deepest first.
  template <typename Attempt>
  void finish(Attempt attempt) {
    for (auto directory = directories_.rbegin(); directory != directories_.rend(); ++directory)
      attempt(directory->second.change, [&] { finish_directory(directory->first, directory->second); });
  }

 private:
  /// What is still to be set on a directory, besides its time.
  struct Unfinished {
    const Change* change = nullptr;  // of the directory itself
    std::optional<mode_t> mode;      // to set
  };

  Fd open_note(const char* name, int flags = 0) const {
    return Fd(
        check(::openat(overlays_.directory_.get(), name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600),
              "open", name));
  }

  void note(const std::string& path) const {
    write_all(applied_, encode_fields({std::to_string(target_), path}), applied_name);
  }

  // A random name in the change's directory. It is written to `leftover` before it is used, so that a kill leaves no
  // unknown file. Every policy protects such names (policy/compile/mount_view.cc), because another run in this
  // directory must not hold an object that gets a protected name.
  std::string fresh_name(const std::string& path) const {
    std::string name = ".agent-run-" + random_name();
    const std::string line = encode_fields({std::to_string(target_), join(directory_of(path), name)});
    check(::pwrite(leftover_.get(), line.data(), line.size(), 0), "write", leftover_name);
    return name;
  }

  template <typename Make>
  void put(const Fd& directory, const Change& change, const Found& now, Make make) {
    const std::string fresh = fresh_name(change.path), last = last_of(change.path);
    try {
      make(fresh);
      place(directory, fresh, last, now, change.path);
    } catch (const std::exception&) {
      remove_tree(directory, fresh);
      throw;
    }
  }

  static void place(const Fd& directory, const std::string& fresh, const std::string& last, const Found& now,
                    const std::string& path) {
    unsigned flags = 0;
    if (now.entry.kind == Kind::absent) flags = RENAME_NOREPLACE;
    if (now.entry.kind == Kind::directory || S_ISDIR(kind_of(directory, fresh)))
      flags = now.entry.kind == Kind::absent ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    if (const int error = rename_at(directory, fresh, last, flags); error != 0) throw SysError(error, "rename", path);
    if (flags == RENAME_EXCHANGE) remove_tree(directory, fresh);
  }

  static mode_t kind_of(const Fd& directory, const std::string& name) {
    struct stat st {};
    return ::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode : 0;
  }

  void remove(const Fd& directory, const Change& change, const Found& now) const {
    if (now.entry.kind == Kind::absent) return;
    if (now.entry.kind != Kind::directory) return remove_tree(directory, last_of(change.path));
    const std::string gone = fresh_name(change.path);
    if (const int error = rename_at(directory, last_of(change.path), gone, RENAME_NOREPLACE); error != 0)
      throw SysError(error, "rename", change.path);
    try {
      remove_tree(directory, gone);
    } catch (const SysError& e) {
      throw Refusal(e.call() + ": " + std::string(errno_name(e.error())) + "; what is left of it is now " + gone);
    }
  }

  void make_directory(const Fd& directory, const Change& change, const Found& now) {
    if (now.entry.kind != Kind::directory) {
      put(directory, change, now, [&](const std::string& name) {
        check(::mkdirat(directory.get(), name.c_str(), S_IRWXU), "mkdir", change.path);
      });
    }
    directories_[change.path] = {.change = &change, .mode = change.after.mode};
  }

  /// Sets mode and time of an object that is otherwise the same on both sides.
  void change_attributes(const Fd& directory, const Change& change) {
    if (change.after.kind == Kind::directory) {
      directories_[change.path] = {.change = &change, .mode = change.after.mode};
      return;
    }
    if (change.difference == Difference::mode) set_mode(change.path, change.after.mode);
    set_time(directory, last_of(change.path), look(upper_, change.path).st);
    note(change.path);
  }

  /// Makes a directory writable for now: the agent may have changed it and made it read-only again. finish() sets its
  /// final mode.
  void make_writable(const Fd& directory, const std::string& path) {
    struct stat st {};
    check(::fstat(directory.get(), &st), "fstat", path);
    if (st.st_uid != ::geteuid() || (st.st_mode & S_IRWXU) == S_IRWXU) return;
    check(::chmod(self_path(directory).c_str(), (st.st_mode & 07777) | S_IRWXU), "chmod", path);
    Unfinished& unfinished = directories_[path];
    if (!unfinished.mode) unfinished.mode = st.st_mode & 07777;
  }

  void finish_directory(const std::string& path, const Unfinished& unfinished) const {
    const std::string object = path.empty() ? "." : path;
    if (unfinished.mode) set_mode(object, *unfinished.mode);
    const Found shown = look(upper_, object);
    const Fd directory = try_open_beneath(host_, object, O_PATH | O_DIRECTORY);
    // Does not set the time of another user's directory: this user may not.
    if (directory && shown.entry.kind == Kind::directory && is_own(directory)) set_time(directory, ".", shown.st);
    if (unfinished.change != nullptr) note(path);
  }

  static bool is_own(const Fd& directory) {
    struct stat st {};
    return ::fstat(directory.get(), &st) == 0 && (::geteuid() == 0 || st.st_uid == ::geteuid());
  }

  static void set_time(const Fd& directory, const std::string& name, const struct stat& shown) {
    const timespec times[] = {shown.st_atim, shown.st_mtim};
    check(::utimensat(directory.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimensat", name);
  }

  void write_file(const Fd& directory, const std::string& name, const Change& change, const Found& now) const {
    const Fd from = open_file(upper_, change.path);
    const Fd to(check(::openat(directory.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
                      "open", change.path));
    copy_bytes(from, to, change.path);
    if (now.entry.kind == Kind::file)
      if (const Fd old = try_open_beneath(host_, change.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
        keep_attributes(old, to);
    check(::fchmod(to.get(), change.after.mode & applied_mode), "chmod", change.path);
    struct stat st {};
    check(::fstat(from.get(), &st), "fstat", change.path);
    const timespec times[] = {st.st_atim, st.st_mtim};
    check(::futimens(to.get(), times), "utimensat", change.path);
    check(::fsync(to.get()), "fsync", change.path);
  }

  // A directory keeps the host's set-id and sticky bits. A file loses them with a change, as by write(2) and chmod(2).
  void set_mode(const std::string& path, mode_t mode) const {
    const Fd object = open_beneath(host_, path, O_PATH | O_NOFOLLOW);
    struct stat st {};
    check(::fstat(object.get(), &st), "fstat", path);
    if (S_ISLNK(st.st_mode)) throw SysError(ELOOP, "chmod", path);
    const mode_t meant = (mode & applied_mode) | (S_ISDIR(st.st_mode) ? st.st_mode & 07000 : 0);
    if ((st.st_mode & 07777) != meant) check(::chmod(self_path(object).c_str(), meant), "chmod", path);
  }

  Overlays& overlays_;
  std::size_t target_;
  Fd upper_, host_, leftover_, applied_;
  std::map<std::string, Unfinished> directories_;  // by path; "" is the target
};

void Overlays::apply(std::vector<Change> chosen, Over over,
                     const std::function<void(const Change&, const std::string& why)>& failed) {
  remove_leftover();
  std::stable_sort(chosen.begin(), chosen.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
  for (std::size_t target = 0; target < targets_.size(); ++target) {
    Applier applier(*this, target);
    const auto attempt = [&](const Change& change, auto act) {
      try {
        act();
      } catch (const SysError& e) {
        failed(change, e.call() + ": " + std::string(errno_name(e.error())));
      } catch (const Refusal& e) {
        failed(change, e.what());
      }
    };
    for (const Change& change : chosen) {
      if (change.target == target) attempt(change, [&] { applier.apply(change, over); });
    }
    applier.finish(
        [&](const Change* change, auto act) { attempt(change != nullptr ? *change : Change{.target = target}, act); });
  }
  remove_leftover();
}

void Overlays::remove_leftover() {
  const Fields fields = read_fields(directory_, leftover_name, 1U << 16);
  std::string stays;
  if (fields.size() >= 2) {
    const auto target = static_cast<std::size_t>(std::strtoull(fields[0].c_str(), nullptr, 10));
    if (target >= targets_.size()) throw SysError(EINVAL, "read", leftover_name);
    const Fd directory = try_open_beneath(host_directory(target), directory_of(fields[1]), O_PATH | O_DIRECTORY);
    try {
      if (directory) remove_tree(directory, last_of(fields[1]));
    } catch (const SysError& e) {
      stays = targets_[target].path + "/" + fields[1] + " cannot be removed: " + std::string(errno_name(e.error()));
    }
  }
  if (::unlinkat(directory_.get(), leftover_name, 0) != 0 && errno != ENOENT) throw_errno("unlink", leftover_name);
  if (!stays.empty()) throw Refusal(stays, "a killed apply left it: remove it by hand, then repeat the command");
}

}  // namespace agentrun::review
