// Held changes → host.
//
// Theory of operation. One change after another, folders before what is in them. A file or link is made whole beside
// its place under a random name, then renamed over it; a folder that must go is renamed away first, then emptied. So at
// any moment each place holds the old or the new, and a kill leaves at most one such name, which `leftover` tells the
// next apply or discard to remove. What reached the host is noted in `applied`; a kill in between is no loss, since
// what equals the host is no change (scan.cc). Modes and times of folders come last, from below: a folder may be one
// that nobody can write to, and each change in it sets its time. Must not: follow a link, on either side (openat2
// beneath the folder that was pinned by inode); take an attribute from the overlay but the nine permission bits and the
// time: what else the host's file has, it keeps; overwrite what the host changed meanwhile, or what came to be where
// nothing was.
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

// Holes stay holes: a file of a terabyte that holds nothing takes nothing.
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

// ACL and attributes of the file that is replaced. What cannot be carried over was not the user's to give.
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

int rename_at(const Fd& folder, const std::string& from, const std::string& to, unsigned flags) {
  return ::syscall(SYS_renameat2, folder.get(), from.c_str(), folder.get(), to.c_str(), flags) == 0 ? 0 : errno;
}

}  // namespace

class Applier {
 public:
  Applier(Overlays& overlays, std::size_t target)
      : overlays_(overlays),
        target_(target),
        upper_(overlays.layer(target)),
        host_(overlays.host_folder(target)),
        leftover_(open_note(leftover_name)),
        applied_(open_note(applied_name, O_APPEND)) {}

  void apply(const Change& change, Overlays::Over over) {
    if (!change.refused.empty()) throw Refusal(change.refused);
    const Found now = look(host_, change.path);
    const bool merged = now.entry.kind == Kind::folder && change.after.kind == Kind::folder;
    if (over == Overlays::Over::nothing && !merged && changed_since(host_, change.path, overlays_.began_ns_))
      throw Refusal("the host changed it after the run had begun");
    if (now.entry.kind == Kind::folder && !merged) refuse_mounts(host_, change.path);
    const Fd folder = try_open_beneath(host_, folder_of(change.path), O_PATH | O_DIRECTORY);
    if (!folder) throw Refusal("its folder is not a folder on the host");
    for (std::string above = change.path; !above.empty();) folders_.try_emplace(above = folder_of(above));
    if (now.entry.kind == change.after.kind && change.difference < Difference::content)
      return change_attributes(folder, change);
    make_writable(folder, folder_of(change.path));
    switch (change.after.kind) {
      case Kind::absent:
        remove(folder, change, now);
        break;
      case Kind::folder:
        make_folder(folder, change, now);
        return;  // noted by finish()
      case Kind::file:
        put(folder, change, now, [&](const std::string& name) { write_file(folder, name, change, now); });
        break;
      case Kind::link:
        put(folder, change, now, [&](const std::string& name) {
          check(::symlinkat(change.after.link.c_str(), folder.get(), name.c_str()), "symlink", change.path);
          set_time(folder, name, look(upper_, change.path).st);
        });
        break;
      case Kind::special:
        throw Refusal("a device, FIFO or socket");
    }
    note(change.path);
  }

  /// Modes and times of the folders that were made or changed, or that hold what was applied: after all else, from
  /// below.
  template <typename Attempt>
  void finish(Attempt attempt) {
    for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder)
      attempt(folder->second.change, [&] { finish_folder(folder->first, folder->second); });
  }

 private:
  /// What is still to be done to a folder, besides its time.
  struct Unfinished {
    const Change* change = nullptr;  // of the folder itself
    std::optional<mode_t> mode;      // to set
  };

  Fd open_note(const char* name, int flags = 0) const {
    return Fd(check(::openat(overlays_.folder_.get(), name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600),
                    "open", name));
  }

  void note(const std::string& path) const {
    write_all(applied_, encode_fields({std::to_string(target_), path}), applied_name);
  }

  // A random name in the change's folder, told to whoever comes after a kill, before anything stands there. Every
  // policy protects such names (policy/compile/mount_view.cc): a run that goes on in this folder must not hold what
  // gets a protected name.
  std::string fresh_name(const std::string& path) const {
    std::string name = ".agent-run-" + random_name();
    const std::string line = encode_fields({std::to_string(target_), join(folder_of(path), name)});
    check(::pwrite(leftover_.get(), line.data(), line.size(), 0), "write", leftover_name);
    return name;
  }

  template <typename Make>
  void put(const Fd& folder, const Change& change, const Found& now, Make make) {
    const std::string fresh = fresh_name(change.path), last = last_of(change.path);
    try {
      make(fresh);
      place(folder, fresh, last, now, change.path);
    } catch (const std::exception&) {
      remove_tree(folder, fresh);
      throw;
    }
  }

  static void place(const Fd& folder, const std::string& fresh, const std::string& last, const Found& now,
                    const std::string& path) {
    unsigned flags = 0;
    if (now.entry.kind == Kind::absent) flags = RENAME_NOREPLACE;
    if (now.entry.kind == Kind::folder || S_ISDIR(kind_of(folder, fresh)))
      flags = now.entry.kind == Kind::absent ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    if (const int error = rename_at(folder, fresh, last, flags); error != 0) throw SysError(error, "rename", path);
    if (flags == RENAME_EXCHANGE) remove_tree(folder, fresh);
  }

  static mode_t kind_of(const Fd& folder, const std::string& name) {
    struct stat st {};
    return ::fstatat(folder.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode : 0;
  }

  void remove(const Fd& folder, const Change& change, const Found& now) const {
    if (now.entry.kind == Kind::absent) return;
    if (now.entry.kind != Kind::folder) return remove_tree(folder, last_of(change.path));
    const std::string gone = fresh_name(change.path);
    if (const int error = rename_at(folder, last_of(change.path), gone, RENAME_NOREPLACE); error != 0)
      throw SysError(error, "rename", change.path);
    try {
      remove_tree(folder, gone);
    } catch (const SysError& e) {
      throw Refusal(e.call() + ": " + std::string(errno_name(e.error())) + "; what is left of it is now " + gone);
    }
  }

  void make_folder(const Fd& folder, const Change& change, const Found& now) {
    if (now.entry.kind != Kind::folder) {
      put(folder, change, now, [&](const std::string& name) {
        check(::mkdirat(folder.get(), name.c_str(), S_IRWXU), "mkdir", change.path);
      });
    }
    folders_[change.path] = {.change = &change, .mode = change.after.mode};
  }

  /// Mode and time of what is the same on both sides otherwise.
  void change_attributes(const Fd& folder, const Change& change) {
    if (change.after.kind == Kind::folder) {
      folders_[change.path] = {.change = &change, .mode = change.after.mode};
      return;
    }
    if (change.difference == Difference::mode) set_mode(change.path, change.after.mode);
    set_time(folder, last_of(change.path), look(upper_, change.path).st);
    note(change.path);
  }

  /// The agent may have changed something in a folder that cannot be written to, and shut it again: so does this.
  void make_writable(const Fd& folder, const std::string& path) {
    struct stat st {};
    check(::fstat(folder.get(), &st), "fstat", path);
    if (st.st_uid != ::geteuid() || (st.st_mode & S_IRWXU) == S_IRWXU) return;
    check(::chmod(self_path(folder).c_str(), (st.st_mode & 07777) | S_IRWXU), "chmod", path);
    Unfinished& unfinished = folders_[path];
    if (!unfinished.mode) unfinished.mode = st.st_mode & 07777;
  }

  void finish_folder(const std::string& path, const Unfinished& unfinished) const {
    const std::string object = path.empty() ? "." : path;
    if (unfinished.mode) set_mode(object, *unfinished.mode);
    const Found shown = look(upper_, object);
    const Fd folder = try_open_beneath(host_, object, O_PATH | O_DIRECTORY);
    // A folder of somebody else's keeps its time, as it would when something is changed in it.
    if (folder && shown.entry.kind == Kind::folder && is_own(folder)) set_time(folder, ".", shown.st);
    if (unfinished.change != nullptr) note(path);
  }

  static bool is_own(const Fd& folder) {
    struct stat st {};
    return ::fstat(folder.get(), &st) == 0 && (::geteuid() == 0 || st.st_uid == ::geteuid());
  }

  static void set_time(const Fd& folder, const std::string& name, const struct stat& shown) {
    const timespec times[] = {shown.st_atim, shown.st_mtim};
    check(::utimensat(folder.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimensat", name);
  }

  void write_file(const Fd& folder, const std::string& name, const Change& change, const Found& now) const {
    const Fd from = open_file(upper_, change.path);
    const Fd to(check(::openat(folder.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
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

  // Of a folder the host's own set-id and sticky bits stay; a file's do not outlive a change (as write(2), chmod(2)).
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
  std::map<std::string, Unfinished> folders_;  // by path; "" is the target
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
  const Fields fields = read_fields(folder_, leftover_name, 1U << 16);
  std::string stays;
  if (fields.size() >= 2) {
    const auto target = static_cast<std::size_t>(std::strtoull(fields[0].c_str(), nullptr, 10));
    if (target >= targets_.size()) throw SysError(EINVAL, "read", leftover_name);
    const Fd folder = try_open_beneath(host_folder(target), folder_of(fields[1]), O_PATH | O_DIRECTORY);
    try {
      if (folder) remove_tree(folder, last_of(fields[1]));
    } catch (const SysError& e) {
      stays = targets_[target].path + "/" + fields[1] + " cannot be removed: " + std::string(errno_name(e.error()));
    }
  }
  if (::unlinkat(folder_.get(), leftover_name, 0) != 0 && errno != ENOENT) throw_errno("unlink", leftover_name);
  if (!stays.empty()) throw Refusal(stays, "a killed apply left it: remove it by hand, then do this again");
}

}  // namespace agentrun::review
