// What the shipped rules guard on the host as it is now, asked for changes that an overlay held back.
#pragma once

#include <string>
#include <vector>

#include <agentrun/review.h>
#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// By the rules of host-exec, build-settings, agent-text and path-programs, as if each of `directories` (canonical)
/// were held back in an overlay: by names of their own, and by the names on the host that lead there. Looks at the host
/// only, not at what is held back. The answers are true of the moment of this call. Throws Refusal and ProfileError, as
/// a start there would.
review::HostNames guarded_on_host(const std::vector<std::string>& directories, const Places& places);

}  // namespace agentrun::supervisor
