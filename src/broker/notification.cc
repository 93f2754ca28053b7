#include "broker/notification.h"

#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include <agentrun/sys/kernel_abi.h>

namespace agentrun::broker {

std::string_view Reply::effect() const noexcept {
  switch (kind_) {
    case Kind::error: return "errno";
    case Kind::value: return "emulated";
    case Kind::inject: return "addfd";
    case Kind::proceed: return "continue";
    case Kind::none: return "none";
  }
  return "none";
}

void Listener::set_sync_wake_up(bool on) const noexcept {
  ::ioctl(fd_.get(), abi::seccomp_ioctl_notif_set_flags, on ? abi::seccomp_user_notif_fd_sync_wake_up : 0UL);
}

int Listener::receive(seccomp_notif& notification) const noexcept {
  for (;;) {
    std::memset(&notification, 0, sizeof notification);  // the kernel refuses anything else (EINVAL)
    if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0) return 0;
    if (errno == EINTR) continue;
    if (errno != ENOENT) return errno;
    // ENOENT is also what Linux 6.11 and later give, at once and for ever, when the last task is gone.
    pollfd poll{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, 0) == 1 && (poll.revents & POLLHUP) != 0 ? ENOTCONN : ENOENT;
  }
}

bool Listener::valid(std::uint64_t id) const noexcept {
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

int Listener::respond(std::uint64_t id, std::int64_t value, int error, std::uint32_t flags) const noexcept {
  seccomp_notif_resp response{.id = id, .val = value, .error = -error, .flags = flags};
  ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);  // ENOENT: the target is gone
  return error;
}

int Listener::send(std::uint64_t id, const Reply& reply) const noexcept {
  switch (reply.kind()) {
    case Reply::Kind::none: return 0;
    case Reply::Kind::error: return respond(id, 0, static_cast<int>(reply.number()), 0);
    case Reply::Kind::value: return respond(id, reply.number(), 0, 0);
    case Reply::Kind::proceed: return respond(id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    case Reply::Kind::inject: break;
  }
  seccomp_notif_addfd inject{
      .id = id,
      .flags = SECCOMP_ADDFD_FLAG_SEND,
      .srcfd = static_cast<std::uint32_t>(reply.fd().get()),
      .newfd = 0,
      .newfd_flags = reply.fd_flags(),
  };
  for (;;) {
    if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &inject) >= 0) return 0;
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == EINPROGRESS) return 0;  // gone, or answered by the signal that killed it
    return respond(id, 0, errno, 0);
  }
}

}  // namespace agentrun::broker
