// Opens and reads regular files only, without waiting for a pipe or following a link.
#include <agentrun/sys/regular.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <agentrun/sys/error.h>

namespace agentrun {

Fd open_regular(int directory, const std::string& path, int flags) {
  Fd fd(::openat(directory, path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
  if (!fd && errno == ENXIO) throw SysError(EINVAL, "open", path);  // a pipe without a reader, or a socket
  check(fd.get(), "open", path);
  struct stat st {};
  check(::fstat(fd.get(), &st), "fstat", path);
  if (!S_ISREG(st.st_mode)) throw SysError(EINVAL, "open", path);
  return fd;
}

std::string read_regular(const std::string& path, std::size_t limit) {
  return read_regular(open_regular(AT_FDCWD, path, O_RDONLY), path, limit);
}

std::string read_regular(const Fd& fd, const std::string& path, std::size_t limit) {
  std::string text;
  std::array<char, 16384> piece;
  for (;;) {
    const ssize_t n = check(retry_eintr([&] { return ::read(fd.get(), piece.data(), piece.size()); }), "read", path);
    if (n == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(n));
    if (text.size() > limit) throw SysError(EFBIG, "read", path);
  }
}

std::optional<std::string> try_read_regular(const std::string& path, std::size_t limit) {
  try {
    return read_regular(path, limit);
  } catch (const SysError&) {
    return std::nullopt;
  }
}

bool same_file(const Fd& one, const Fd& other) {
  struct stat a {
  }, b{};
  check(::fstat(one.get(), &a), "fstat");
  check(::fstat(other.get(), &b), "fstat");
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace agentrun
