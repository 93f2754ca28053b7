// tlog-witness as HTTP/1.1, one request a connection, over a socket of the file system or TCP.
#pragma once

#include <string>

#include <agentrun/journal/witness.h>
#include <agentrun/sys/fd.h>

namespace agentrun::witness {

struct WitnessSocket {
  Fd fd;
  std::string name;  // where it listens, with the port that it got
};
/// "tcp:ADDRESS:PORT" (an address of this host in digits, IPv6 in brackets; port 0: any), else the path of a socket,
/// for this user alone. Throws SysError, Refusal.
WitnessSocket listen_for_witness(const std::string& where);

/// Answers, for ever. Up to 64 peers at once, each with 5 s for all of a request of 64 KiB at most: who is slow stops
/// nobody else. Throws SysError when the socket is at its end.
[[noreturn]] void serve_witness(const Fd& socket, journal::Witness& witness);

/// POST /add-checkpoint. `where`: the path of a socket, or "http://HOST:PORT[/PREFIX]". Within 30 s. Throws SysError,
/// Refusal.
journal::Witness::Reply ask_witness(const std::string& where, const std::string& body);

}  // namespace agentrun::witness
