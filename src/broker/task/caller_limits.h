// Checks the caller's own resource limits (getrlimit(2)), as the kernel does before it acts. The broker has other
// limits.
#pragma once

#include <sys/types.h>

#include "broker/path/resolve.h"
#include "broker/task/task.h"

namespace agentrun::broker {

/// Returns 0, or EMFILE when the task has no descriptor number left. Call it before a file is created or truncated: the
/// injection would fail only afterwards.
int descriptor_room(const Task& task);

/// Returns 0, or EFBIG when `length` would make the file larger than RLIMIT_FSIZE allows. In that case the task gets
/// SIGXFSZ.
int size_allowed(const Task& task, const Object& object, off_t length);

}  // namespace agentrun::broker
