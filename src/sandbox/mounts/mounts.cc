// Carries out the mount steps of a plan, enters the new root and verifies each mount.
#include "sandbox/mounts/mounts.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/paths.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

namespace agentrun::sandbox {

namespace {

constexpr const char *mask_file_name = ".masked-file", *mask_directory_name = ".masked-directory",
                     *cover_file_name = ".text";
constexpr std::uint64_t base_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

// statfs(2) reports these four with the values that mount_setattr(2) takes.
static_assert(ST_RDONLY == MOUNT_ATTR_RDONLY && ST_NOSUID == MOUNT_ATTR_NOSUID);
static_assert(ST_NODEV == MOUNT_ATTR_NODEV && ST_NOEXEC == MOUNT_ATTR_NOEXEC);
constexpr std::uint64_t verified_attributes = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;

struct stat status_of(const Fd& fd, std::string_view object) {
  struct stat st {};
  check(::fstat(fd.get(), &st), "fstat", object);
  return st;
}

std::uint64_t attributes_of(const MountStep& step) {
  return base_attributes | (step.read_only ? MOUNT_ATTR_RDONLY : 0U) | (step.no_exec ? MOUNT_ATTR_NOEXEC : 0U);
}

View::Point point_for(const struct stat& st) {
  return S_ISDIR(st.st_mode) ? View::Point::directory : View::Point::file;
}

void move_by_fd(const Fd& mount, const Fd& point, std::string_view object) {
  constexpr unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check(::move_mount(mount.get(), "", point.get(), "", flags), "move_mount", object);
}

void require_identity(const struct stat& st, const MountStep& step) {
  if (st.st_dev != step.dev || st.st_ino != step.ino) throw SysError(ESTALE, "compare identity", step.target);
}

}  // namespace

Fd open_below(const Fd& root, std::string_view path, std::uint64_t flags) {
  const std::string relative = path == "/" ? std::string(".") : std::string(path.substr(1));
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0; attempt < 8; ++attempt) {  // EAGAIN: a rename raced with the walk (openat2(2))
    const long fd = ::syscall(SYS_openat2, root.get(), relative.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  throw_errno("openat2", path);
}

Fd clone_tree(const Fd& source, const std::string& object) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
  return Fd(check(::open_tree(source.get(), "", flags), "open_tree", object));
}

void restrict_mount(const Fd& mount, std::uint64_t attributes, Reach reach, const std::string& object) {
  mount_attr attr{.attr_set = attributes, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  const unsigned flags = AT_EMPTY_PATH | (reach == Reach::whole_tree ? AT_RECURSIVE : 0);
  check(::mount_setattr(mount.get(), "", flags, &attr, sizeof attr), "mount_setattr", object);
}

Fd new_filesystem(const char* type, std::initializer_list<Option> options, unsigned attributes) {
  const Fd context(check(::fsopen(type, FSOPEN_CLOEXEC), "fsopen", type));
  for (const auto& [key, value] : options)
    check(::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value, 0), "fsconfig", std::string(type) + " " + key);
  check(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), "fsconfig", type);
  return Fd(check(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes), "fsmount", type));
}

Fd new_overlay(const Layers& layers, unsigned attributes, const std::string& object) {
  const Fd context(check(::fsopen("overlay", FSOPEN_CLOEXEC), "fsopen", "overlay"));
  check(::fsconfig(context.get(), FSCONFIG_SET_FLAG, "userxattr", nullptr, 0), "fsconfig", "overlay userxattr");
  // "auto": one st_dev for all files, where the layers allow it, because programs compare st_dev.
  check(::fsconfig(context.get(), FSCONFIG_SET_STRING, "xino", "auto", 0), "fsconfig", "overlay xino");
  for (const auto& [key, fd] : {std::pair<const char*, const Fd&>{"lowerdir", layers.lower},
                                {"upperdir", layers.upper},
                                {"workdir", layers.work}}) {
    // Only Linux 6.13 and newer take descriptors as such.
    const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
    check(::fsconfig(context.get(), FSCONFIG_SET_STRING, key, path.c_str(), 0), "overlay", object);
  }
  check(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), "overlay", object);
  return Fd(check(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes), "fsmount", "overlay"));
}

View::View() : old_root_(check(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "/")) {
  // Otherwise later mounts of the host would appear in the binds.
  mount_attr attr{.attr_set = 0, .attr_clr = 0, .propagation = MS_PRIVATE, .userns_fd = 0};
  check(::mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof attr), "mount_setattr private", "/");
}

void View::own(const Fd& mount) {
  own_.push_back(status_of(mount, "tmpfs").st_dev);
}

void View::finish_read_only(Fd mount, std::string path) {
  read_only_.emplace_back(std::move(mount), std::move(path));
}

Fd View::own_parent(const std::string& path) const {
  Fd parent = open(parent_of(path), O_PATH | O_DIRECTORY);
  if (std::ranges::find(own_, status_of(parent, path).st_dev) == own_.end()) throw SysError(EXDEV, "mount point", path);
  return parent;
}

Fd View::mount_point(const std::string& path, Point point) {
  const Fd parent = open(parent_of(path), O_PATH | O_DIRECTORY);
  const bool ours = std::ranges::find(own_, status_of(parent, path).st_dev) != own_.end();
  const std::string name(name_of(path));
  if (ours && point == Point::directory) check(::mkdirat(parent.get(), name.c_str(), 0755), "mkdirat", path);
  if (ours && point == Point::file) {
    const int flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC;
    const Fd made(check(::openat(parent.get(), name.c_str(), flags, 0444), "openat", path));
  }
  Fd target = open(path, O_PATH);
  if (point_for(status_of(target, path)) != point) throw SysError(ESTALE, "mount point", path);
  return target;
}

void View::attach(const Fd& mount, const Fd& point, const std::string& path, std::uint64_t attributes) {
  move_by_fd(mount, point, path);
  const struct stat st = status_of(mount, path);
  placed_.push_back({path, attributes, st.st_dev, st.st_ino});
}

// Attaches the tree on top of the host's "/". That directory always exists. Path resolution from the old root still
// reaches the host until pivot_root, because a walk does not cross a mount on its own starting point.
void View::make_root(const MountStep& step) {
  std::uint64_t attributes = attributes_of(step);
  if (step.source.empty()) {
    root_ = new_filesystem("tmpfs", {{"mode", "0755"}}, base_attributes);
    own(root_);
    finish_read_only(Fd(check(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 0), "fcntl", "/")), "/");
    attributes |= MOUNT_ATTR_RDONLY;
  } else {
    root_ = clone_tree(old_root_, "/");
    restrict_mount(root_, attributes, Reach::whole_tree, "/");
  }
  attach(root_, old_root_, "/", attributes);
}

// Does not use a separate file system: one more umount2 would cost an RCU grace period, more than all of the mounts
// together.
void View::hold_mask_sources(const Fd& mount) {
  constexpr int flags = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC;
  mask_home_.reset(check(::fcntl(mount.get(), F_DUPFD_CLOEXEC, 0), "fcntl", "masks"));
  check(::mkdirat(mount.get(), mask_directory_name, 0), "mkdirat", mask_directory_name);
  const Fd made(check(::openat(mount.get(), mask_file_name, flags, 0), "openat", mask_file_name));
  mask_file_.reset(check(::openat(mount.get(), mask_file_name, O_PATH | O_CLOEXEC), "openat", mask_file_name));
  mask_directory_.reset(
      check(::openat(mount.get(), mask_directory_name, O_PATH | O_CLOEXEC), "openat", mask_directory_name));
}

void View::make_directory(View& view, const MountStep& step) {
  const Fd parent = view.own_parent(step.target);
  check(::mkdirat(parent.get(), std::string(name_of(step.target)).c_str(), step.mode), "mkdirat", step.target);
}

void View::make_symlink(View& view, const MountStep& step) {
  const Fd parent = view.own_parent(step.target);
  check(::symlinkat(step.source.c_str(), parent.get(), std::string(name_of(step.target)).c_str()), "symlinkat",
        step.target);
}

void View::make_text(View& view, const MountStep& step) {
  const Fd parent = view.own_parent(step.target);
  const int flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC;
  const Fd file(check(::openat(parent.get(), std::string(name_of(step.target)).c_str(), flags, step.mode), "openat",
                      step.target));
  write_all(file, step.source, step.target);
}

void View::bind(View& view, const MountStep& step) {
  const Fd source = view.open_host(step.source, O_PATH);
  const struct stat st = status_of(source, step.source);
  require_identity(st, step);
  const Fd mount = clone_tree(source, step.source);
  restrict_mount(mount, attributes_of(step), Reach::whole_tree, step.target);
  view.attach(mount, view.mount_point(step.target, point_for(st)), step.target, attributes_of(step));
}

void View::overlay(View& view, const MountStep& step) {
  const Fd lower = view.open_host(step.source, O_PATH | O_DIRECTORY);
  require_identity(status_of(lower, step.source), step);
  const Fd upper = view.open_host(step.layers + "/upper", O_PATH | O_DIRECTORY);
  const Fd work = view.open_host(step.layers + "/work", O_PATH | O_DIRECTORY);
  struct statfs host {};
  check(::fstatfs(lower.get(), &host), "fstatfs", step.source);
  // An overlay keeps the noexec flag of the host's mount.
  const std::uint64_t attributes = attributes_of(step) | (static_cast<std::uint64_t>(host.f_flags) & ST_NOEXEC);
  const Fd mount = new_overlay({lower, upper, work}, static_cast<unsigned>(attributes), step.source);
  view.attach(mount, view.mount_point(step.target, Point::directory), step.target, attributes);
}

// Scratch directories share one file system, so that together they hold at most half of the memory (tmpfs(5), size).
// Only an attached mount can be cloned, so the whole file system is mounted below the first scratch directory, where
// nobody sees it.
void View::attach_scratch(const std::string& path, unsigned mode, std::uint64_t attributes) {
  Fd point = mount_point(path, Point::directory);
  if (!scratch_) {
    scratch_ = new_filesystem("tmpfs", {{"mode", "0700"}}, base_attributes);
    own(scratch_);  // mounts of the host may go below it
    move_by_fd(scratch_, point, path);
    point = open(path, O_PATH);
  }
  const std::string name = std::to_string(scratch_places_++);
  check(::mkdirat(scratch_.get(), name.c_str(), S_IRWXU), "mkdirat", path);
  check(::fchmodat(scratch_.get(), name.c_str(), mode, 0), "fchmodat", path);
  const Fd place(check(::openat(scratch_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "openat", path));
  const Fd mount = clone_tree(place, path);
  restrict_mount(mount, attributes, Reach::this_mount, path);
  attach(mount, point, path, attributes);
}

void View::make_scratch(View& view, const MountStep& step) {
  view.attach_scratch(step.target, step.mode, attributes_of(step));
}

void View::mask(View& view, const MountStep& step) {
  const Fd target = view.open(step.target, O_PATH);
  const struct stat st = status_of(target, step.target);
  if (step.dev != 0 || step.ino != 0) require_identity(st, step);
  const Fd& source = S_ISDIR(st.st_mode) ? view.mask_directory_ : view.mask_file_;
  constexpr std::uint64_t attributes = base_attributes | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
  const Fd mount = clone_tree(source, step.target);
  restrict_mount(mount, attributes, Reach::whole_tree, step.target);
  view.attach(mount, target, step.target, attributes);
}

// The file is seen only through its mount. Its name is removed at once.
void View::cover_text(View& view, const MountStep& step) {
  if (!view.mask_home_) throw SysError(EINVAL, "build", step.target);
  const Fd target = view.open(step.target, O_PATH);
  if (!S_ISREG(status_of(target, step.target).st_mode)) throw SysError(ESTALE, "mount point", step.target);
  constexpr int flags = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC;
  const Fd made(check(::openat(view.mask_home_.get(), cover_file_name, flags, step.mode), "openat", cover_file_name));
  write_all(made, step.source, step.target);
  const Fd source(
      check(::openat(view.mask_home_.get(), cover_file_name, O_PATH | O_CLOEXEC), "openat", cover_file_name));
  constexpr std::uint64_t attributes = base_attributes | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
  const Fd mount = clone_tree(source, step.target);
  restrict_mount(mount, attributes, Reach::whole_tree, step.target);
  view.attach(mount, target, step.target, attributes);
  check(::unlinkat(view.mask_home_.get(), cover_file_name, 0), "unlinkat", cover_file_name);
}

struct StepTable {
  using Act = void (*)(View&, const MountStep&);
  struct Row {
    MountStep::Kind kind;
    Act act;
  };
  static constexpr std::array<Row, 11> rows{{
      {MountStep::Kind::root, [](View& view, const MountStep& step) { view.make_root(step); }},
      {MountStep::Kind::directory, View::make_directory},
      {MountStep::Kind::symlink, View::make_symlink},
      {MountStep::Kind::text_file, View::make_text},
      {MountStep::Kind::text_over, View::cover_text},
      {MountStep::Kind::bind, View::bind},
      {MountStep::Kind::overlay, View::overlay},
      {MountStep::Kind::tmpfs, View::make_scratch},
      {MountStep::Kind::proc, make_proc},
      {MountStep::Kind::dev, make_dev},
      {MountStep::Kind::mask, View::mask},
  }};
};

void View::build(const std::vector<MountStep>& steps) {
  for (const MountStep& step : steps) {
    const auto row = std::ranges::find(StepTable::rows, step.kind, &StepTable::Row::kind);
    if (row == StepTable::rows.end() || (step.kind != MountStep::Kind::root && !root_))
      throw SysError(EINVAL, "build", step.target);
    row->act(*this, step);
  }
  if (mask_home_) {
    check(::unlinkat(mask_home_.get(), mask_file_name, 0), "unlinkat", mask_file_name);
    check(::unlinkat(mask_home_.get(), mask_directory_name, AT_REMOVEDIR), "unlinkat", mask_directory_name);
    mask_home_.reset();
  }
  for (const auto& [mount, path] : read_only_) restrict_mount(mount, MOUNT_ATTR_RDONLY, Reach::this_mount, path);
  read_only_.clear();
}

void View::enter() {
  check(::fchdir(root_.get()), "fchdir", "new root");
  check(::syscall(SYS_pivot_root, ".", "."), "pivot_root", "/");
  // The old root now lies on top of the new one, at "." (pivot_root(2), NOTES).
  check(::umount2(".", MNT_DETACH), "umount2", "old root");
  check(::chdir("/"), "chdir", "/");
  old_root_.reset();
  root_.reset(check(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "/"));
}

void View::verify() const {
  for (const Placed& placed : placed_) {
    const Fd found = open(placed.path, O_PATH);
    const struct stat st = status_of(found, placed.path);
    if (st.st_dev != placed.dev || st.st_ino != placed.ino) throw SysError(ESTALE, "verify", placed.path);
    struct statfs fs {};
    check(::fstatfs(found.get(), &fs), "fstatfs", placed.path);
    const std::uint64_t lacks = placed.attributes & verified_attributes & ~static_cast<std::uint64_t>(fs.f_flags);
    if (lacks != 0) throw SysError(EPERM, "verify", placed.path);
  }
}

}  // namespace agentrun::sandbox
