// What the kernel asks of the caller's own limits before it does anything (getrlimit(2)): the broker's are others.
#pragma once

#include <sys/types.h>

#include "broker/path/resolve.h"
#include "broker/task/task.h"

namespace agentrun::broker {

/// 0, or EMFILE when the task has no number left for a descriptor. Asked before a file is made or emptied: the
/// injection would fail only afterwards.
int descriptor_room(const Task& task);

/// 0, or EFBIG when `length` would make the file larger than RLIMIT_FSIZE allows; the task then gets SIGXFSZ.
int size_allowed(const Task& task, const Object& object, off_t length);

}  // namespace agentrun::broker
