// Copies a trapped call from its registers and its task's memory, by the argument roles in the table of calls.
#include "broker/notify/request.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <utime.h>

#include <algorithm>
#include <cstring>

namespace agentrun::broker {

namespace {

using filter::Operation;

constexpr std::size_t max_argv_entries = 256;
constexpr std::size_t max_argv_bytes = 6 * 1024;  // a record is at most 16 KiB
constexpr std::size_t max_attribute_name = 255;   // XATTR_NAME_MAX
constexpr std::size_t max_attribute_value = 65536;

// struct xattr_args of setxattrat (Linux 6.13)
struct XattrArguments {
  std::uint64_t value;
  std::uint32_t size;
  std::uint32_t flags;
};

class Decoder {
 public:
  Decoder(const seccomp_data& call, const filter::Row& row, const Memory& memory, Request& request)
      : call_(call), operation_(row.operation), roles_(row.arguments), memory_(memory), r_(request) {}

  int run() {
    if (const int error = names(); error != 0) return error;
    return details();
  }

 private:
  [[nodiscard]] std::uint64_t arg(int index) const { return index < 0 ? 0 : call_.args[index]; }
  [[nodiscard]] int low(int index) const { return static_cast<int>(arg(index)); }  // the kernel's int arguments

  // A path argument: at most PATH_MAX with its NUL. The caller judges an empty path.
  int path(int index, std::string& to) const { return memory_.copy_string(arg(index), PATH_MAX, to); }

  int names() {
    const filter::Arguments& a = roles_;
    if (a.dirfd >= 0) r_.name.dirfd = low(a.dirfd);
    if (a.dirfd2 >= 0) r_.name2.dirfd = low(a.dirfd2);
    r_.flags = static_cast<std::uint32_t>(arg(a.flags)) | a.fixed_flags;
    r_.mode = static_cast<mode_t>(arg(a.mode));
    if (a.fd >= 0) {
      r_.descriptor = true;
      r_.fd = low(a.fd);
    }
    if (a.path >= 0 && !(operation_ == Operation::utimes && arg(a.path) == 0)) {
      if (const int error = path(a.path, r_.name.path); error != 0) return error;
    }
    if (a.path2 >= 0) {
      if (const int error = path(a.path2, r_.name2.path); error != 0) return error;
    }
    return 0;
  }

  int details() {
    switch (operation_) {
      case Operation::open:
        return open();
      case Operation::openat2:
        return openat2();
      case Operation::unlink:
        return allowed_flags(AT_REMOVEDIR);
      case Operation::rename:
      case Operation::mkdir:
        return 0;
      case Operation::link:
        return link();
      case Operation::symlink:
        return symlink();
      case Operation::mknod:
        r_.device = static_cast<dev_t>(arg(roles_.device));
        return 0;
      case Operation::chmod:
        return at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
      case Operation::fchmod:
        return 0;
      case Operation::chown:
      case Operation::fchown:
        return chown();
      case Operation::truncate:
        r_.length = static_cast<off_t>(arg(roles_.length));
        return r_.length < 0 ? EINVAL : 0;
      case Operation::utimes:
        return utimes();
      case Operation::setxattr:
      case Operation::fsetxattr:
        return setxattr();
      case Operation::removexattr:
      case Operation::fremovexattr:
        return removexattr();
      case Operation::lease:
        r_.lease = low(roles_.lease);
        return r_.flags == F_SETLEASE ? 0 : EINVAL;  // F_SETDELEG: filter/checks.cc
      case Operation::execute:
        return execute();
      case Operation::connect:
        return address();
      case Operation::bind:
        return bind();
      case Operation::none:
        break;
    }
    return EPERM;  // never let a trapped call through that this decoder does not know
  }

  int allowed_flags(std::uint32_t allowed) const { return (r_.flags & ~allowed) != 0 ? EINVAL : 0; }

  // Reads whether links are followed, and whether an empty path means the descriptor.
  int at_flags(std::uint32_t allowed) {
    if (const int error = allowed_flags(allowed); error != 0) return error;
    r_.follow = (r_.flags & AT_SYMLINK_NOFOLLOW) != 0 ? Follow::no : Follow::yes;
    if (r_.name.path.empty() && (r_.flags & AT_EMPTY_PATH) != 0) on_descriptor(r_.name.dirfd);
    return 0;
  }

  void on_descriptor(int fd) {
    r_.descriptor = true;
    r_.fd = fd;
  }

  int open() {
    // open(2) ignores unknown flags (VALID_OPEN_FLAGS of the kernel's fcntl.h); openat2 refuses them.
    r_.how.flags = r_.flags & static_cast<std::uint32_t>(known_open_flags);
    if ((r_.how.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0) r_.how.mode = r_.mode & 07777;
    return check_tmpfile();
  }

  int openat2() {
    // The flags are in memory, in struct open_how, whose size may grow (openat2(2)).
    const std::uint64_t address = arg(roles_.how);
    const std::uint64_t size = arg(roles_.how + 1);
    if (size < sizeof(open_how)) return EINVAL;
    if (size > 4096) return E2BIG;
    std::array<char, 4096> bytes{};
    if (const int error = memory_.copy(address, bytes.data(), size); error != 0) return error;
    const auto rest = bytes.begin() + sizeof(open_how);
    if (std::any_of(rest, bytes.begin() + static_cast<std::ptrdiff_t>(size), [](char c) { return c != 0; }))
      return E2BIG;
    std::memcpy(&r_.how, bytes.data(), sizeof r_.how);

    constexpr std::uint64_t scoped = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
    constexpr std::uint64_t known_resolve =
        scoped | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED;
    const std::uint64_t flags = r_.how.flags;
    if ((flags & ~static_cast<std::uint64_t>(static_cast<std::uint32_t>(known_open_flags))) != 0) return EINVAL;
    if ((r_.how.resolve & ~known_resolve) != 0 || (r_.how.resolve & scoped) == scoped) return EINVAL;
    if ((flags & O_PATH) != 0 &&
        (flags & ~static_cast<std::uint64_t>(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) != 0) {
      return EINVAL;
    }
    const bool creates = (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0;
    if ((r_.how.resolve & RESOLVE_CACHED) != 0 && (creates || (flags & O_TRUNC) != 0)) return EAGAIN;
    if (creates ? (r_.how.mode & ~07777ULL) != 0 : r_.how.mode != 0) return EINVAL;
    return check_tmpfile();
  }

  // O_TMPFILE is O_DIRECTORY and one more bit, and needs write access (open(2)).
  int check_tmpfile() const {
    const auto flags = static_cast<int>(r_.how.flags);
    if ((flags & O_PATH) != 0) return 0;
    if ((flags & (O_TMPFILE & ~O_DIRECTORY)) != 0) {
      if ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_ACCMODE) == O_RDONLY) return EINVAL;
      if ((flags & O_CREAT) != 0) return EINVAL;
    }
    return (flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) ? EINVAL : 0;  // Linux 6.3 on
  }

  int link() {
    if (const int error = allowed_flags(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH); error != 0) return error;
    r_.follow = (r_.flags & AT_SYMLINK_FOLLOW) != 0 ? Follow::yes : Follow::no;
    if (r_.name.path.empty() && (r_.flags & AT_EMPTY_PATH) != 0) on_descriptor(r_.name.dirfd);
    return 0;
  }

  int symlink() {
    // The table calls the text `path` and the new name `path2`.
    r_.text = std::move(r_.name.path);
    r_.name = std::move(r_.name2);
    return r_.text.empty() ? ENOENT : 0;
  }

  int chown() {
    r_.uid = static_cast<uid_t>(arg(roles_.owner));
    r_.gid = static_cast<gid_t>(arg(roles_.owner + 1));
    return at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  }

  int utimes() {
    if (const int error = copy_times(arg(roles_.times)); error != 0) return error;
    if (arg(roles_.path) != 0) return at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
    // Without a path the descriptor is the object (utimensat(2)).
    if (roles_.dirfd < 0) return EFAULT;
    if (r_.flags != 0) return EINVAL;
    if (r_.name.dirfd == AT_FDCWD) return EFAULT;
    on_descriptor(r_.name.dirfd);
    return 0;
  }

  int copy_times(std::uint64_t address) {
    if (address == 0) return 0;
    switch (roles_.times_layout) {
      case filter::Times::seconds: {
        utimbuf times{};
        if (const int error = memory_.copy(address, &times, sizeof times); error != 0) return error;
        r_.times = {timespec{times.actime, 0}, timespec{times.modtime, 0}};
        return 0;
      }
      case filter::Times::microseconds: {
        std::array<timeval, 2> times{};
        if (const int error = memory_.copy(address, times.data(), sizeof times); error != 0) return error;
        for (const timeval& t : times) {
          if (t.tv_usec < 0 || t.tv_usec >= 1'000'000) return EINVAL;
        }
        r_.times = {timespec{times[0].tv_sec, times[0].tv_usec * 1000},
                    timespec{times[1].tv_sec, times[1].tv_usec * 1000}};
        return 0;
      }
      case filter::Times::nanoseconds: {
        std::array<timespec, 2> times{};
        if (const int error = memory_.copy(address, times.data(), sizeof times); error != 0) return error;
        r_.times = times;
        return 0;
      }
      case filter::Times::none:
        break;
    }
    return EPERM;
  }

  int attribute_name() {
    const int error = memory_.copy_string(arg(roles_.attribute), max_attribute_name + 1, r_.text);
    if (error == ENAMETOOLONG || (error == 0 && r_.text.empty())) return ERANGE;  // as strncpy_from_user in xattr.c
    return error;
  }

  int attribute_value(std::uint64_t address, std::uint64_t size) {
    if (size > max_attribute_value) return E2BIG;
    r_.value.resize(size);
    return size == 0 ? 0 : memory_.copy(address, r_.value.data(), size);
  }

  int setxattr() {
    if (const int error = at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH); error != 0) return error;
    if (roles_.value_structure >= 0) return setxattr_by_structure();
    r_.attribute_flags = static_cast<std::uint32_t>(arg(roles_.value_flags));
    if ((r_.attribute_flags & ~static_cast<std::uint32_t>(XATTR_CREATE | XATTR_REPLACE)) != 0) return EINVAL;
    if (const int error = attribute_name(); error != 0) return error;
    return attribute_value(arg(roles_.value), arg(roles_.value + 1));
  }

  int setxattr_by_structure() {
    if (arg(roles_.value_structure + 1) < sizeof(XattrArguments)) return EINVAL;
    XattrArguments arguments{};
    if (const int error = memory_.copy(arg(roles_.value_structure), &arguments, sizeof arguments); error != 0)
      return error;
    r_.attribute_flags = arguments.flags;
    if (const int error = attribute_name(); error != 0) return error;
    return attribute_value(arguments.value, arguments.size);
  }

  int removexattr() {
    if (const int error = at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH); error != 0) return error;
    return attribute_name();
  }

  int execute() {
    if (const int error = at_flags(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH); error != 0) return error;
    return copy_argv(arg(roles_.argv));
  }

  // Copies argv for the journal and for argv rules. A vector that does not fit is cut and marked as cut, so a bad
  // pointer behind the cut is left to the kernel, which performs the exec.
  int copy_argv(std::uint64_t address) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; address != 0; ++i, address += sizeof(std::uint64_t)) {
      std::uint64_t pointer = 0;
      const int error = memory_.copy(address, &pointer, sizeof pointer);
      if (error == EFAULT) return EFAULT;
      if (error != 0) return error;
      if (pointer == 0) return 0;
      r_.argv_cut = i >= max_argv_entries || bytes >= max_argv_bytes;
      if (r_.argv_cut) return 0;
      std::string word;
      const int word_error = memory_.copy_string(pointer, max_argv_bytes - bytes + 1, word);
      if (word_error == ENAMETOOLONG)
        r_.argv_cut = true;
      else if (word_error != 0)
        return word_error;
      bytes += word.size() + 1;
      r_.argv.push_back(std::move(word));
      if (r_.argv_cut) return 0;
    }
    return 0;
  }

  int address() {
    const std::uint64_t size = arg(roles_.address + 1) & 0xffffffffU;
    if (static_cast<int>(size) < 0 || size > sizeof(sockaddr_storage)) return EINVAL;  // move_addr_to_kernel
    r_.address_size = static_cast<socklen_t>(size);
    return size == 0 ? 0 : memory_.copy(arg(roles_.address), &r_.address, size);
  }

  // A unix socket's name in a directory is the text before the first NUL, as in unix_mkname_bsd of af_unix.c. An
  // address without such a name is abstract, or not a unix socket's.
  int bind() {
    if (const int error = address(); error != 0) return error;
    constexpr std::size_t begin = offsetof(sockaddr_un, sun_path);
    if (r_.address.ss_family != AF_UNIX || r_.address_size <= begin || r_.address_size > sizeof(sockaddr_un)) return 0;
    const char* const text = reinterpret_cast<const char*>(&r_.address) + begin;
    r_.name.path.assign(text, ::strnlen(text, r_.address_size - begin));
    return 0;
  }

  static constexpr int known_open_flags = O_RDONLY | O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC |
                                          O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT |
                                          0100000 /* O_LARGEFILE */ | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |
                                          O_PATH | O_TMPFILE;

  const seccomp_data& call_;
  const Operation operation_;
  const filter::Arguments& roles_;
  const Memory& memory_;
  Request& r_;
};

}  // namespace

int decode(const seccomp_notif& notification, const filter::Row& row, const Memory& memory, Request& request) {
  request.row = &row;
  request.id = notification.id;
  request.tid = static_cast<pid_t>(notification.pid);
  return Decoder(notification.data, row, memory, request).run();
}

}  // namespace agentrun::broker
