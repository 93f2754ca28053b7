// netlink with the packet filter of the sandbox's network namespace: the packets that it logged, and where a redirected
// datagram was meant to go. The sockets were made in that namespace; to use them takes CAP_NET_ADMIN over its user
// namespace, which the user who made that has in its parent (user_namespaces(7)), without any capability there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include "egress/event_loop.h"
#include "egress/packet/reject_log.h"
#include "egress/rate.h"

struct nl_sock;

namespace agentrun::egress {

struct FreeNetlink {
  void operator()(nl_sock* socket) const;
};
using Netlink = std::unique_ptr<nl_sock, FreeNetlink>;
/// libnl's view of a NETLINK_NETFILTER socket, which it then owns. Throws SysError.
Netlink adopt_netlink(Fd socket);

/// What the head of a packet says, from its IP header on (RFC 791, 8200). Extension headers of IPv6 are not followed:
/// the protocol is then what stands there as a number. nullopt for what is too short or of another version.
struct PacketHead {
  policy::Destination to;
  std::string proto;  // tcp, udp, icmp, or the number
};
std::optional<PacketHead> read_packet(std::string_view bytes);

/// Reads the packets that the ruleset logged and hands them on. The socket is bound to the group already.
class PacketLog : Watcher {
 public:
  PacketLog(Loop& loop, RejectLog& rejects, const Names& names, Fd socket);
  ~PacketLog() override;

 private:
  void ready(unsigned tag, std::uint32_t events) override;
  void read_message(std::string_view message);
  Loop& loop_;
  RejectLog& rejects_;
  const Names& names_;
  Netlink netlink_;
  int fd_;
  Rate rate_;
};

/// Where what came to the relay was meant to go.
class Origins {
 public:
  Origins() = default;
  Origins(const Origins&) = delete;
  Origins& operator=(const Origins&) = delete;
  virtual ~Origins();
  /// As the agent's socket sees it. The kernel changes the source port of a redirected connection or datagram when the
  /// same port leads to the relay already, meant for another destination.
  struct Original {
    policy::Destination to;
    std::uint16_t source_port = 0;
  };
  /// Of what came to the relay from `source` (its protocol counts); nullopt when it was not redirected.
  [[nodiscard]] virtual std::optional<Original> original(const policy::Destination& source) const = 0;
};

/// Asks connection tracking. Each question is answered before the call returns: the kernel does it within sendmsg(2).
class Conntrack : public Origins {
 public:
  explicit Conntrack(Fd socket);
  ~Conntrack() override;
  [[nodiscard]] std::optional<Original> original(const policy::Destination& source) const override;

 private:
  Netlink netlink_;
};

}  // namespace agentrun::egress
