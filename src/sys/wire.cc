// The part of the wire codec that can throw.
#include <agentrun/sys/wire.h>

#include <cerrno>

#include <agentrun/sys/error.h>

namespace agentrun {

void WireWriter::put_fd(int fd) {
  if (fd_count_ == fds_.size()) throw SysError(EINVAL, "sendmsg", "too many descriptors");
  fds_[fd_count_++] = fd;
}

}  // namespace agentrun
