// A copied call: everything that the decision and the act may use. Nothing is read from the agent later.
#pragma once

#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/filter.h>
#include "broker/notify/memory.h"

namespace agentrun::broker {

enum class Follow : std::uint8_t { no, yes };

/// A name that the agent gave: its start and its path.
struct Name {
  int dirfd = -100;  // AT_FDCWD, or a descriptor of the agent
  std::string path;  // as asked, at most PATH_MAX - 1 bytes
};

struct Request {
  const filter::Row* row = nullptr;
  std::uint64_t id = 0;  // of the notification
  pid_t tid = 0;
  Name name, name2;  // name2: rename's and link's new name
  Follow follow = Follow::yes;
  bool descriptor = false;  // `fd` itself is the object: descriptor forms, AT_EMPTY_PATH with an empty path, null paths
  int fd = -1;

  open_how how{};                     // open family: flags, mode, resolve
  std::uint32_t flags = 0;            // O_*, AT_*, RENAME_*; also those that the call's name implies (rmdir, lchown)
  std::uint32_t attribute_flags = 0;  // XATTR_*
  mode_t mode = 0;                    // mkdir, mknod, chmod
  dev_t device = 0;                   // mknod
  uid_t uid = 0;                      // chown
  gid_t gid = 0;
  off_t length = 0;                              // truncate
  int lease = 0;                                 // F_RDLCK, F_WRLCK, F_UNLCK, or a value that the kernel refuses
  std::optional<std::array<timespec, 2>> times;  // utimes; absent: now
  std::string text;                              // symlink's target, or the attribute's name
  std::string value;                             // attribute's value
  std::vector<std::string> argv;                 // exec: what fits in the journal
  bool argv_cut = false;
  sockaddr_storage address{};  // connect, bind; `name` is then a unix socket's path, or empty
  socklen_t address_size = 0;
};

/// Copies the arguments of a call. Returns 0; the errno of the kernel for an argument that is unreadable or out of
/// range (EFAULT, ENAMETOOLONG, EINVAL, E2BIG, ENOENT for an empty path); ESRCH when the task is gone; EPERM when its
/// memory may not be read. On an error only `row`, `tid` and `id` of the request are valid.
int decode(const seccomp_notif& notification, const filter::Row& row, const Memory& memory, Request& request);

}  // namespace agentrun::broker
