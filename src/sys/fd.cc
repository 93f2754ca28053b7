#include <agentrun/sys/fd.h>

#include <cerrno>

namespace agentrun {

void FdTraits::release(int fd) noexcept {
  const int kept = errno;
  ::close(fd);
  errno = kept;
}

}  // namespace agentrun
