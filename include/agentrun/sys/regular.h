// Opens regular files in directories that others can write, and nothing else: no caller waits for a pipe or follows a
// link there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun {

/// openat(2) of a regular file with `flags`, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY and O_CLOEXEC; made with mode 0600 where
/// `flags` has O_CREAT. Throws SysError: EINVAL when it is not a regular file, ELOOP for a link.
Fd open_regular(int directory, const std::string& path, int flags);

/// Reads such a file, at most `limit` bytes (else EFBIG). Throws SysError.
std::string read_regular(const std::string& path, std::size_t limit);
/// The same for an open file; errors name `path`.
std::string read_regular(const Fd& fd, const std::string& path, std::size_t limit);
/// nullopt for every error.
std::optional<std::string> try_read_regular(const std::string& path, std::size_t limit);

/// True when both descriptors are open on one file. Throws SysError.
bool same_file(const Fd& one, const Fd& other);

}  // namespace agentrun
