// Files of directories that others can write: what is asked for is a file, or it is not opened. A pipe there must hang
// nobody, a link must lead nobody elsewhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun {

/// openat(2) of a regular file with `flags`, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY and O_CLOEXEC; made with mode 0600 where
/// `flags` has O_CREAT. Throws SysError: EINVAL for what is no regular file, ELOOP for a link.
Fd open_regular(int directory, const std::string& path, int flags);

/// What such a file holds, at most `limit` bytes (SysError EFBIG). Throws SysError.
std::string read_regular(const std::string& path, std::size_t limit);
/// The same of one that is open; `path` is for what is said.
std::string read_regular(const Fd& fd, const std::string& path, std::size_t limit);
/// nullopt for every error.
std::optional<std::string> try_read_regular(const std::string& path, std::size_t limit);

/// Whether both are open on one file. Throws SysError.
bool same_file(const Fd& one, const Fd& other);

}  // namespace agentrun
