// A walk component by component, for the names that the kernel cannot walk on our behalf: /proc/self and the magic
// links of /proc, which depend on who asks.
#pragma once

#include <string>
#include <string_view>

#include <agentrun/sys/fd.h>
#include "broker/notify/request.h"
#include "broker/task/task.h"

namespace agentrun::broker {

struct Walked {
  Fd fd;                      // O_PATH
  Fd parent;                  // of what was found by its name in a directory: that directory,
  std::string name;           // and the name
  int descriptor_flags = -1;  // the walk ended at an open descriptor of the task itself: that one's open flags
};

/// Walks `path` from `start` (or from `root` when it is absolute) as `task` would. `host_proc`: the host's /proc. 0 or
/// the errno.
int walk(const Task& task, int host_proc, const Fd& root, const Fd& start, std::string_view path, Follow follow,
         Walked& to);

}  // namespace agentrun::broker
