// Renames over a file that is granted by itself.
#pragma once

#include "broker/calls/permit.h"
#include "broker/path/resolve.h"

namespace agentrun::broker {

/// Is it a regular file that is a mount point, so granted by itself? Such a file cannot be renamed over.
bool is_mounted_file(const ParentAndName& target);
/// Writes the content of the regular file `from` into such a file `to`, and removes `from`. Returns 0 or an errno:
/// EBUSY when either file exceeds 1 MiB or cannot be opened; in that case nothing has changed.
int replace_content(const Permit& permit, const Task& task, const ParentAndName& from, const ParentAndName& to);

}  // namespace agentrun::broker
