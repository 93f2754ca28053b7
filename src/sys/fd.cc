// Closes a descriptor without changing errno.
#include <agentrun/sys/fd.h>

#include <cerrno>

namespace agentrun {

void FdTraits::release(int fd) noexcept {
  const int saved = errno;
  ::close(fd);
  errno = saved;
}

}  // namespace agentrun
