// rename over a file that is granted by itself.
#pragma once

#include "broker/calls/permit.h"
#include "broker/path/resolve.h"

namespace agentrun::broker {

/// A regular file that is a mount point of its own: granted by itself, and not to be renamed over.
bool is_mounted_file(const ParentAndName& target);
/// Writes what the regular file `from` holds into such a file `to`, and removes `from`. 0 or an errno: EBUSY when
/// either has more than 1 MiB or cannot be opened; then nothing has changed.
int replace_content(const Permit& permit, const Task& task, const ParentAndName& from, const ParentAndName& to);

}  // namespace agentrun::broker
