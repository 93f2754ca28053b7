// Options that the sockets of egress need.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <optional>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>

namespace agentrun::egress {

/// A socket address from a destination.
class Address {
 public:
  explicit Address(const policy::Destination& to) noexcept;
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};
/// And back; nullopt for other families.
std::optional<policy::Destination> destination_of(const sockaddr_storage& address) noexcept;

/// SO_ERROR: the errno that waits, or 0.
int pending_error(const Fd& socket) noexcept;
/// Takes bytes that were peeked at out of a TCP socket (MSG_TRUNC, tcp(7)).
void discard(const Fd& socket, std::size_t bytes) noexcept;
/// Closes it with an RST to the other side.
void reset(Fd& socket) noexcept;
/// Bytes go out as they come: the sender and the receiver have their own ways to wait.
void prepare_relayed(const Fd& socket) noexcept;

}  // namespace agentrun::egress
