// How items reach one kind of receiver.
#pragma once

#include <poll.h>

#include <cstdint>
#include <memory>
#include <string>

#include <agentrun/sink/live.h>
#include <agentrun/sink/target.h>
#include <agentrun/sys/fd.h>
#include "sink/program/item.h"

namespace agentrun::sink {

struct Result {
  enum class Status : std::uint8_t {
    sent,     // handed over; take_arrived() says when it has arrived
    full,     // not now: when interest() is ready. The same item is to come again
    down,     // the receiver cannot be reached; what has not arrived is to be sent again
    later,    // it was reached and wants it later
    refused,  // it takes nothing from us, now and later
    lost,     // it will never take this item, or these many of its records
  };
  Status status = Status::sent;
  std::string reason{};
  std::uint32_t wait_ms = 0;  // what the receiver asks to wait; 0: nothing
  std::uint64_t count = 0;    // lost records of the item
};

class Sender {
 public:
  virtual ~Sender() = default;
  /// May block for some seconds while it reaches for the receiver.
  virtual Result send(const Item& item) = 0;
  /// How many items more have arrived, in the order in which they were sent, as far as can be known.
  virtual std::size_t take_arrived() = 0;
  /// What it waits for; none: -1.
  [[nodiscard]] virtual pollfd interest() const { return {.fd = -1, .events = 0, .revents = 0}; }
  /// Looks at what the receiver did meanwhile. False: the connection is gone, what has not arrived is to be sent again.
  virtual bool look() { return true; }
  /// A proper end of the connection.
  virtual void finish() {}
};

/// Of a file that was opened to append.
std::unique_ptr<Sender> file_sender(Fd file);
/// syslog and journald: datagrams of a unix socket, or a stream of lines where the socket takes no datagrams.
std::unique_ptr<Sender> unix_sender(const Target& target);
/// syslog over TCP and TLS. Without `ca`: the certificates of the system.
std::unique_ptr<Sender> stream_sender(const Target& target, const Contents& contents);
/// OTLP/HTTP.
std::unique_ptr<Sender> http_sender(const Target& target, const Contents& contents);

}  // namespace agentrun::sink
