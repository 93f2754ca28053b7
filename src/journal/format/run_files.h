// The names of a journal's files, and the functions that open, read and replace them: always relative to a descriptor
// of the directory, never through a symbolic link.
#pragma once

#include <agentrun/sys/fd.h>
#include <cerrno>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal::files {

inline constexpr const char* runs = "runs";
inline constexpr const char* keycert = "keycert";
inline constexpr const char* checkpoint = "checkpoint";
inline constexpr const char* epochs = "epochs";
inline constexpr const char* recent = "recent";
inline constexpr const char* hashes = "hashes";
inline constexpr const char* reserve = "reserve";
inline constexpr const char* kept = "kept";
inline constexpr const char* identity_key = "identity.key";
inline constexpr const char* identity_vkey = "identity.vkey";

/// "entries.000000.jsonl"
std::string segment(unsigned number);
/// True for a valid run id: letters, digits, '-', '_', '.', not hidden, at most 64 bytes.
bool is_run_id(std::string_view id) noexcept;

/// Opens a directory. Throws SysError.
Fd open_directory(const std::string& path);
/// Makes a new file (O_EXCL) with mode 0600 and opens it with `flags`. Throws SysError.
Fd make(const Fd& directory, const std::string& name, int flags);
/// Opens a file for reading; nullopt when it is absent. Throws SysError; EINVAL for anything but a regular file.
std::optional<Fd> try_open(const Fd& directory, const std::string& name);
/// True for the errors of open_regular() for a link, a pipe, a socket, a directory or a device.
constexpr bool is_no_file(int error) noexcept {
  return error == EINVAL || error == ELOOP || error == EISDIR;
}
/// True when the name exists, whatever it is.
bool exists(const Fd& directory, const std::string& name);
/// Opens a file for reading; nullopt when it is absent or not a regular file. Throws SysError.
std::optional<Fd> try_regular(const Fd& directory, const std::string& name);
/// Reads a file; nullopt when it is absent. Throws SysError; EFBIG above `limit` bytes.
std::optional<std::string> try_read(const Fd& directory, const std::string& name, std::size_t limit);

enum class Sync : std::uint8_t { no, data };
/// Replaces a file by rename(2): whoever opens `name` sees either the old or the new content.
void replace(const Fd& directory, const std::string& name, std::string_view content, Sync sync);

/// 32 random bits as 8 hex digits.
std::string random_suffix();

}  // namespace agentrun::journal::files
