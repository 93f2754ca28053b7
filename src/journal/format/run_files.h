// The names of a journal's files and the few ways in which this room opens, reads and replaces them: always relative to
// the descriptor of the folder, never through a symbolic link.
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
/// A run's id as a file name: letters, digits, '-', '_', '.', not hidden, at most 64 bytes.
bool is_run_id(std::string_view id) noexcept;

/// open(2) of a folder. Throws SysError.
Fd open_directory(const std::string& path);
/// A new file of mode 0600 (O_EXCL), opened with `flags`. Throws SysError.
Fd make(const Fd& directory, const std::string& name, int flags);
/// A file for reading; nullopt when there is none. Anything but a regular file: SysError(EINVAL).
std::optional<Fd> try_open(const Fd& directory, const std::string& name);
/// What open_regular() says of something that is there and is no file: a link, a pipe, a socket, a directory, a device.
constexpr bool is_no_file(int error) noexcept {
  return error == EINVAL || error == ELOOP || error == EISDIR;
}
/// Something is there by this name, whatever it is.
bool exists(const Fd& directory, const std::string& name);
/// A file for reading; nullopt when there is none, also when something else is there. Throws SysError.
std::optional<Fd> try_regular(const Fd& directory, const std::string& name);
/// The file's bytes, at most `limit`; nullopt when there is none. Throws SysError (EFBIG over the limit).
std::optional<std::string> try_read(const Fd& directory, const std::string& name, std::size_t limit);

enum class Sync : std::uint8_t { no, data };
/// Writes a new file and renames it to `name`: whoever opens `name` sees all of the old or all of the new.
void replace(const Fd& directory, const std::string& name, std::string_view content, Sync sync);

/// 32 random bits as 8 hex digits.
std::string random_suffix();

}  // namespace agentrun::journal::files
