// Verbs on trees that the agent had in its hands: always below a descriptor, never through a link.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/review.h>
#include <agentrun/sys/fd.h>

namespace agentrun::review {

/// openat2(2) beneath `root`; a link anywhere in `path` is ELOOP, a mount is EXDEV: overlayfs shows none of those below
/// its lower layer, so what the agent did there was never meant for them. "" and "." are the root. Empty, with errno,
/// on failure.
Fd try_open_beneath(const Fd& root, const std::string& path, std::uint64_t flags) noexcept;
/// The same, or SysError.
Fd open_beneath(const Fd& root, const std::string& path, std::uint64_t flags);

/// "a/b" → "a"; "a" → "".
std::string folder_of(const std::string& path);
std::string last_of(const std::string& path);
std::string join(const std::string& folder, const std::string& name);

/// What stands there, and its status; absent when nothing does or a folder on the way is none.
struct Found {
  Entry entry;
  struct stat st {};
};
Found look(const Fd& root, const std::string& path);

/// The names in a folder, sorted. Throws SysError.
std::vector<std::string> names_in(const Fd& root, const std::string& path);

/// SysError (EXDEV) when something is mounted at `path` or below it; nothing there is fine.
void refuse_mounts(const Fd& root, const std::string& path);

/// Removes what stands at `name` in `folder`, however deep, whatever its modes. Nothing there is fine. Throws SysError.
void remove_tree(const Fd& folder, const std::string& name);

/// 64 random bits in hex.
std::string random_name();

}  // namespace agentrun::review
