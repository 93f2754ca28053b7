// Repositories of git that come to be, or to an end, by changes each of which says nothing.
#pragma once

#include <functional>
#include <span>
#include <string>

#include <agentrun/review.h>

namespace agentrun::review {

/// Pieces of a repository (gitrepository-layout(5)): a directory becomes one, with settings and hooks that git obeys in
/// it, when HEAD, config, objects and refs stand side by side, whichever layer each comes from. Beside a HEAD, on the
/// host or in the changes, they are Group::trusted. `host_has(path)`: does anything but a directory stand there on the
/// host, below the target? All changes of one target.
void mark_repositories(std::span<Change> changes, const std::function<bool(const std::string&)>& host_has);

}  // namespace agentrun::review
