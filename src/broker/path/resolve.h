// Names to objects, in the agent's root, as the kernel would walk them for the agent: pinned by descriptors, so that
// the object that was judged is the object that is acted on.
#pragma once

#include <linux/openat2.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/sys/fd.h>
#include "broker/notify/request.h"
#include "broker/task/descriptor.h"
#include "broker/task/task.h"

namespace agentrun::broker {

/// What stands at the end of a name.
struct Object {
  Fd fd;  // O_PATH
  std::string
      path;  // canonical in the view; for what has no path there (pipe, socket, memfd): the kernel's name for it
  bool in_view = false;  // a path of the view; else something that the agent reached through a descriptor
  bool deleted = false;
  mode_t mode = 0;  // st_mode
  std::uint64_t dev = 0, ino = 0, links = 0;
  std::uint64_t mount = 0;  // its id, as statx(2) gives it
  int descriptor_flags =
      -1;  // of the caller's own descriptor that this was reached by: its open flags (F_GETFL); -1: by a name
};

/// A name in a directory: what unlink, rename, mkdir and creation act on.
struct ParentAndName {
  Fd parent;         // O_PATH
  std::string name;  // last component with its trailing slashes, as the kernel must see it
  std::string path;  // canonical parent + "/" + last component
};

/// The mount ids of this process's mount namespace, sorted; the broker's is the sandbox's. `host_proc`: O_PATH of the
/// host's /proc. Throws SysError.
std::vector<std::uint64_t> mount_ids(int host_proc);

class Resolver {
 public:
  /// `host_proc`: O_PATH of the host's /proc, also this thread's working directory. `mounts`: mount_ids(); borrowed.
  Resolver(int host_proc, const std::vector<std::uint64_t>& mounts);

  /// The object that a name leads to. 0 or the errno of the walk. `resolve`: RESOLVE_* of openat2(2).
  int object(const Task& task, const Name& name, Follow follow, std::uint64_t resolve, Object& to) const;
  /// The directory in which the walk of a name begins: the root, the working directory, or that of its descriptor.
  int start(const Task& task, const Name& name, Fd& to) const { return start_of(task, name, 0, to); }
  /// The object that a descriptor of the agent stands for. EBADF when there is none.
  int descriptor(const Task& task, int fd, Object& to) const;
  /// The same, of a descriptor that was taken (descriptor.h).
  int taken_descriptor(const Fd& taken, Object& to) const;
  /// The directory and the last component of a name, which itself is not followed and need not exist. For "." and ".."
  /// and
  /// "/" the name is passed on as it is: the kernel refuses those in its own way.
  int parent_and_name(const Task& task, const Name& name, std::uint64_t resolve, ParentAndName& to) const;
  /// As parent_and_name(), from a directory that start() gave.
  int parent_and_name_below(const Task& task, const Fd& start, const std::string& path, std::uint64_t resolve,
                            ParentAndName& to) const;
  /// As parent_and_name(), for a link that stands in the way of a creation: `text` starts in `base.parent`.
  int parent_and_name_from(const Task& task, const ParentAndName& base, const std::string& text,
                           ParentAndName& to) const;

  /// The path that a name would mean if no link were on its way: for claims and for the record of a failed walk.
  /// nullopt when it begins in a directory that has none (deep_path.h).
  [[nodiscard]] std::optional<std::string> lexical(const Task& task, const Name& name) const;

  /// Does the directory stand on this mount? (Not by st_dev: on an overlay a file's may differ from its directory's.)
  static bool on_mount(const Fd& directory, std::uint64_t mount);

  /// Fills path, identity and kind of an O_PATH descriptor. ENAMETOOLONG: the kernel does not show its path, and it is
  /// no directory in the view (deep_path.h).
  int describe(Object& object) const;

 private:
  int start_of(const Task& task, const Name& name, std::uint64_t resolve, Fd& to) const;
  int base(const Task& task, const Name& name, Fd& to) const;
  int describe_deep(const Task& task, const Fd& start, std::string_view path, Follow follow, Object& to) const;
  int walk_to(const Task& task, const Fd& start, std::string_view path, Follow follow, std::uint64_t resolve,
              Object& to) const;
  [[nodiscard]] bool in_our_mounts(std::uint64_t mount) const;

  int host_proc_;
  Fd root_;
  const std::vector<std::uint64_t>& mounts_;
};

inline std::string self_fd(const Object& object) {
  return self_fd(object.fd);
}

}  // namespace agentrun::broker
