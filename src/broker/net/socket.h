// Sockets of the agent, taken into the broker's hands: the same open file, so what is done to it here is done to the
// agent's.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include "broker/calls/permit.h"
#include "broker/notify/request.h"
#include "broker/task/descriptor.h"
#include "broker/task/task.h"
#include "broker/workers.h"

namespace agentrun::broker {

struct AgentSocket {
  Fd fd;
  int domain = 0, type = 0;
  [[nodiscard]] bool is_inet() const noexcept { return domain == AF_INET || domain == AF_INET6; }
  [[nodiscard]] bool is_stream() const noexcept { return type == SOCK_STREAM || type == SOCK_SEQPACKET; }
  /// connect(2) on it waits (O_NONBLOCK is the open file's, so this can change; it decides only who waits).
  [[nodiscard]] bool waits() const noexcept;
};
/// 0, or EBADF, ENOTSOCK, or what refused it. `host_network`: network_of() of a socket of the host; one that was handed
/// in as standard input, output or error is not the sandbox's to connect: EACCES.
int take_socket(const Task& task, int fd, std::uint64_t host_network, AgentSocket& to);
/// The number of the socket's network namespace (SO_NETNS_COOKIE); 0 before Linux 5.14.
std::uint64_t network_of(const Fd& socket) noexcept;

/// Where a connect of this socket goes, when that is an address of a network; nullopt for all else (a disconnect,
/// another family, an address that is too short), which starts nothing.
std::optional<policy::Destination> destination_of(const AgentSocket& socket, const Request& request);

/// A stream socket that is neither connecting, connected nor listening, or a datagram socket: connect(2) starts
/// something new.
bool starts_anew(const AgentSocket& socket) noexcept;

/// The local address ("any" unless the agent chose one) and port; an unbound socket is bound to a free port first. 0,
/// or an errno.
int bind_source_port(const Permit& permit, const AgentSocket& socket, policy::Destination& source) noexcept;

/// What connect(2) came to: 0, an errno, or `still_waiting`: a blocking socket that would wait longer than a moment.
/// Whether it blocks is the agent's to change at any time, and so is its time-out: `workers` keeps it from holding this
/// thread.
inline constexpr int still_waiting = -1;
int try_connect(const Permit& permit, Workers& workers, const AgentSocket& socket, const sockaddr_storage& address,
                socklen_t size);
/// The same for one that was not to block.
int begin_connect(const Permit& permit, Workers& workers, const Fd& socket, const sockaddr_storage& address,
                  socklen_t size);
/// connect(2) itself; may wait for ever.
int connect_now(const Permit& permit, const Fd& socket, const sockaddr_storage& address, socklen_t size) noexcept;

}  // namespace agentrun::broker
