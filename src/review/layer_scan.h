// Shared by layer_scan.cc and apply.cc.
#pragma once

#include <cstdint>
#include <string>

#include <agentrun/review.h>
#include <agentrun/sys/fd.h>

namespace agentrun::review {

inline constexpr const char* applied_name = "applied";
inline constexpr const char* leftover_name = "leftover";

/// The mode bits that are taken from an overlay. Set-id and sticky bits stay as on the host.
inline constexpr mode_t applied_mode = 0777;

/// A regular file beneath `root`, for reading. Throws SysError.
Fd open_file(const Fd& root, const std::string& path);

/// True when the object, or anything below it, changed after `began` (ns, CLOCK_REALTIME). Compares ctime, which no
/// program can set back (inode(7)).
bool changed_since(const Fd& host, const std::string& path, std::int64_t began);

}  // namespace agentrun::review
