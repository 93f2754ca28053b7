// The interface of what sends items to one kind of receiver.
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
    sent,     // handed over; take_arrived() reports its arrival
    full,     // send the same item again when interest() is ready
    down,     // the receiver cannot be reached; what has not arrived must be sent again
    later,    // the receiver asks to try again later
    refused,  // the receiver will never accept anything
    lost,     // the receiver will never accept this item, or `count` of its records
  };
  Status status = Status::sent;
  std::string reason{};
  std::uint32_t wait_ms = 0;  // the pause that the receiver asks for; 0: none
  std::uint64_t count = 0;    // lost records of the item
};

class Sender {
 public:
  virtual ~Sender() = default;
  /// May block for some seconds while it connects.
  virtual Result send(const Item& item) = 0;
  /// How many more items are known to have arrived, in the order in which they were sent.
  virtual std::size_t take_arrived() = 0;
  /// What to poll for; fd -1: nothing.
  [[nodiscard]] virtual pollfd interest() const { return {.fd = -1, .events = 0, .revents = 0}; }
  /// Handles what the receiver did meanwhile. False when the connection is gone: what has not arrived must be sent
  /// again.
  virtual bool check_receiver() { return true; }
  /// Ends the connection cleanly.
  virtual void finish() {}
};

/// Appends to a file that is open for appending.
std::unique_ptr<Sender> file_sender(Fd file);
/// syslog and journald: datagrams to a unix socket, or a stream of lines if the socket takes no datagrams.
std::unique_ptr<Sender> unix_sender(const Target& target);
/// syslog over TCP and TLS. Without `ca`: the system's certificates.
std::unique_ptr<Sender> stream_sender(const Target& target, const Contents& contents);
/// OTLP/HTTP.
std::unique_ptr<Sender> http_sender(const Target& target, const Contents& contents);

}  // namespace agentrun::sink
