// Processes, and small file operations that every module needs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun {

/// pidfd_open(2). Throws SysError.
Fd pidfd_open(pid_t pid);

/// pidfd_getfd(2): a duplicate of descriptor `fd` of the process. Throws SysError.
Fd pidfd_getfd(const Fd& pidfd, int fd);

/// pidfd_send_signal(2). Returns 0 or the errno (ESRCH: the process is gone).
int pidfd_signal(const Fd& pidfd, int signal) noexcept;

/// Waits until the process behind the pidfd has ended, at most `milliseconds`. True when it has.
bool pidfd_wait(const Fd& pidfd, int milliseconds);

/// Reads the whole file, at most `limit` bytes (else EFBIG). Throws SysError; the try_ form returns nullopt.
std::string read_file(const std::string& path, std::size_t limit = 1U << 20);
std::optional<std::string> try_read_file(const std::string& path, std::size_t limit = 1U << 20);

/// Writes all of `data`, repeating short writes and EINTR. Throws SysError.
void write_all(const Fd& fd, std::string_view data, std::string_view object = {});

/// Makes the directory `path` and its missing parents with `mode`. Returns the number of directories made. Throws
/// SysError.
std::size_t make_directories(const std::string& path, unsigned mode = 0700);

/// CLOCK_REALTIME and CLOCK_BOOTTIME in nanoseconds.
std::int64_t wall_clock_ns() noexcept;
std::int64_t boot_clock_ns() noexcept;

/// Closes every descriptor except `kept` (ignores negative numbers). 0, 1 and 2 become /dev/null, but 2 stays open for
/// the reports of a sanitizer. Throws SysError.
void keep_only(std::initializer_list<int> kept);

/// Empties the environment, and overwrites its strings.
void wipe_environment() noexcept;

/// Sends or receives one message with descriptors over a SOCK_SEQPACKET socket (SCM_RIGHTS). Received descriptors are
/// CLOEXEC. `recv_message` gives nullopt at end of file. Throws SysError.
void send_message(const Fd& socket, std::string_view bytes, std::span<const int> fds = {});
inline void send_message(const Fd& socket, std::string_view bytes, std::initializer_list<int> fds) {
  send_message(socket, bytes, std::span<const int>(fds.begin(), fds.size()));
}
struct Message {
  std::string bytes;
  std::vector<Fd> fds;
};
std::optional<Message> recv_message(const Fd& socket);

}  // namespace agentrun
