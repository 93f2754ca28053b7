// What scan.cc and apply.cc share.
#pragma once

#include <cstdint>
#include <string>

#include <agentrun/review.h>
#include <agentrun/sys/fd.h>

namespace agentrun::review {

inline constexpr const char* applied_name = "applied";
inline constexpr const char* leftover_name = "leftover";

/// The mode bits that are taken from an overlay. Set-id and sticky bits are the host's own.
inline constexpr mode_t applied_mode = 0777;

/// A regular file beneath `root`, for reading. Throws SysError.
Fd open_file(const Fd& root, const std::string& path);

/// Was what stands there, or anything below it, changed after `began` (ns, CLOCK_REALTIME)? By ctime, which no program
/// can set back (inode(7)).
bool changed_since(const Fd& host, const std::string& path, std::int64_t began);

}  // namespace agentrun::review
