// The host's tree of files, for searches.
#include <agentrun/sys/file_tree.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>

#include <agentrun/sys/fd.h>

namespace agentrun {

namespace {

using Kind = TreeNode::Kind;

Kind kind_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return Kind::file;
  if (S_ISDIR(mode)) return Kind::directory;
  return S_ISLNK(mode) ? Kind::link : Kind::other;
}

// Some file systems do not report an entry's type (readdir(3)).
Kind kind_of_entry(int directory, const dirent& entry) {
  switch (entry.d_type) {
    case DT_REG:
      return Kind::file;
    case DT_DIR:
      return Kind::directory;
    case DT_LNK:
      return Kind::link;
    case DT_UNKNOWN:
      break;
    default:
      return Kind::other;
  }
  struct stat st {};
  return ::fstatat(directory, entry.d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? kind_of_mode(st.st_mode) : Kind::absent;
}

// For a directory that cannot be listed: what in it could a program of this user open? Nothing if it is gone or no
// directory. Nothing if it can neither be searched nor made searchable by its owner, like the empty masks of a run.
Tree::Listed unlisted(const std::string& directory, int error) {
  using Listed = Tree::Listed;
  if (error == ENOENT || error == ENOTDIR || error == ELOOP) return Listed::whole;
  if (error != EACCES || ::faccessat(AT_FDCWD, directory.c_str(), X_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0)
    return Listed::partly;
  const Fd shut(::open(directory.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  struct statfs fs {};
  if (!shut || ::fstat(shut.get(), &st) != 0) return Listed::whole;
  const bool fixed = st.st_uid != ::geteuid() || (::fstatfs(shut.get(), &fs) == 0 && (fs.f_flags & ST_RDONLY) != 0);
  return fixed ? Listed::whole : Listed::shut;
}

// Linux file systems on which names are bytes unless a directory has the casefold mark. Any other file system is
// assumed to fold case: vfat, exfat, NTFS, CIFS, 9p (WSL's drives), FUSE, ZFS (where it is a choice), HFS+.
constexpr std::array<unsigned long, 13> exact_types = {
    EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC,    RAMFS_MAGIC,
    F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, NFS_SUPER_MAGIC,   SQUASHFS_MAGIC, EROFS_SUPER_MAGIC_V1,
    PROC_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,   0xca451a4eUL /* bcachefs */};

}  // namespace

bool directory_folds(int directory) {
  struct statfs fs {};
  if (::fstatfs(directory, &fs) != 0) return true;
  const auto type = static_cast<unsigned long>(fs.f_type) & 0xffffffffUL;
  if (std::find(exact_types.begin(), exact_types.end(), type) == exact_types.end()) return true;
  // statx(2) does not report the casefold mark, and the ioctl needs more than O_PATH.
  const Fd readable(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  int flags = 0;
  return readable && ::ioctl(readable.get(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL) != 0;
}

std::string HostTree::link_text(const std::string& path) {
  std::array<char, PATH_MAX> text;  // readlink(2) fills it
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

TreeNode HostTree::look(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return {};
  TreeNode node{.kind = kind_of_mode(st.st_mode), .text = {}, .dev = st.st_dev, .ino = st.st_ino, .links = st.st_nlink};
  if (node.kind != Kind::link) return node;
  node.text = link_text(path);
  return node;
}

Tree::Listed HostTree::list(const std::string& directory, const Each& each) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return unlisted(directory, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd), ::closedir);
  if (!entries) {
    ::close(fd);
    return Listed::partly;
  }
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(entries.get());
    if (entry == nullptr) return errno == 0 ? Listed::whole : Listed::partly;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") each(name, kind_of_entry(fd, *entry));
  }
}

std::optional<std::string> HostTree::content(const std::string& path, std::size_t limit) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  // Reads st_size and one more byte, which shows whether st_size was true. Most limits are much larger.
  std::string text(std::min(limit, static_cast<std::size_t>(st.st_size)) + 1, '\0');
  ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  if (size == static_cast<ssize_t>(text.size()) && text.size() <= limit) {
    text.resize(limit + 1);
    size = ::pread(file.get(), text.data(), text.size(), 0);
  }
  if (size < 0 || static_cast<std::size_t>(size) > limit) return std::nullopt;
  text.resize(static_cast<std::size_t>(size));
  return text;
}

bool HostTree::folds(const std::string& directory) {
  const Fd fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return fd && directory_folds(fd.get());
}

}  // namespace agentrun
