// Small wrappers of process, file and message system calls that repeat EINTR and throw SysError.
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <agentrun/sys/error.h>
#include <agentrun/sys/sanitized.h>

namespace agentrun {

Fd pidfd_open(pid_t pid) {
  return Fd(static_cast<int>(check(::syscall(SYS_pidfd_open, pid, 0), "pidfd_open", std::to_string(pid))));
}

Fd pidfd_getfd(const Fd& pidfd, int fd) {
  return Fd(static_cast<int>(check(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0), "pidfd_getfd", std::to_string(fd))));
}

int pidfd_signal(const Fd& pidfd, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0 ? 0 : errno;
}

bool pidfd_wait(const Fd& pidfd, int milliseconds) {
  pollfd poll{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return retry_eintr([&] { return ::poll(&poll, 1, milliseconds); }) == 1;
}

std::string read_file(const std::string& path, std::size_t limit) {
  return read_regular(Fd(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY), "open", path)), path, limit);
}

std::optional<std::string> try_read_file(const std::string& path, std::size_t limit) {
  try {
    return read_file(path, limit);
  } catch (const SysError&) {
    return std::nullopt;
  }
}

void write_all(const Fd& fd, std::string_view data, std::string_view object) {
  while (!data.empty()) {
    const ssize_t n = check(retry_eintr([&] { return ::write(fd.get(), data.data(), data.size()); }), "write", object);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::size_t make_directories(const std::string& path, unsigned mode) {
  std::size_t made = 0;
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) == 0)
      ++made;
    else if (errno != EEXIST) {
      struct stat st {};  // some file systems return EROFS or EACCES instead of EEXIST
      const int error = errno;
      if (::stat(part.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) throw SysError(error, "mkdir", part);
    }
    if (end == std::string::npos) return made;
  }
}

namespace {
std::int64_t clock_ns(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}
constexpr std::size_t max_fds = 16;
constexpr std::size_t max_message = 64 * 1024;
}  // namespace

std::int64_t wall_clock_ns() noexcept {
  return clock_ns(CLOCK_REALTIME);
}
std::int64_t boot_clock_ns() noexcept {
  return clock_ns(CLOCK_BOOTTIME);
}

void keep_only(std::initializer_list<int> fds) {
  const Fd null(check(::open("/dev/null", O_RDWR | O_CLOEXEC), "open", "/dev/null"));
  constexpr int last = sanitized ? STDOUT_FILENO : STDERR_FILENO;
  for (int standard = 0; standard <= last; ++standard) check(::dup2(null.get(), standard), "dup2", "/dev/null");
  std::vector<int> open(fds);
  std::sort(open.begin(), open.end());
  unsigned first = 3;
  for (const int fd : open) {
    if (fd < 0) continue;
    const auto number = static_cast<unsigned>(fd);
    if (number > first) check(::syscall(SYS_close_range, first, number - 1, 0), "close_range");
    if (number >= first) first = number + 1;
  }
  check(::syscall(SYS_close_range, first, ~0U, 0), "close_range");
}

void wipe_environment() noexcept {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    ::explicit_bzero(*entry, std::strlen(*entry));
  ::clearenv();
}

void send_message(const Fd& socket, std::string_view bytes, std::span<const int> fds) {
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_fds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fds.size() > max_fds) throw SysError(EINVAL, "sendmsg", "too many descriptors");
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  check(retry_eintr([&] { return ::sendmsg(socket.get(), &message, MSG_NOSIGNAL); }), "sendmsg");
}

std::optional<Message> recv_message(const Fd& socket) {
  Message result;
  const auto buffer = std::make_unique_for_overwrite<char[]>(max_message);  // unused pages are not touched
  iovec part{.iov_base = buffer.get(), .iov_len = max_message};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_fds * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = check(retry_eintr([&] { return ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC); }), "recvmsg");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      result.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) throw SysError(EMSGSIZE, "recvmsg", "truncated message");
  if (n == 0 && result.fds.empty()) return std::nullopt;
  result.bytes.assign(buffer.get(), static_cast<std::size_t>(n));
  return result;
}

}  // namespace agentrun
