// C2SP tlog-witness over HTTP/1.1: one request a connection, over a unix socket or TCP.
#pragma once

#include <string>

#include <agentrun/journal/witness.h>
#include <agentrun/sys/fd.h>

namespace agentrun::witness {

struct WitnessSocket {
  Fd fd;
  std::string name;  // where it listens, with the port that it got
};
/// Opens a listening socket. `where`: "tcp:ADDRESS:PORT" (a numeric address of this host, IPv6 in brackets; port 0:
/// any), otherwise the path of a unix socket, which only this user can open. Throws SysError, Refusal.
WitnessSocket listen_for_witness(const std::string& where);

/// Answers requests until the socket fails, then throws SysError. Serves up to 64 peers at once. Each has 5 s for a
/// request of at most 64 KiB, so a slow peer delays nobody.
[[noreturn]] void serve_witness(const Fd& socket, journal::Witness& witness);

/// Sends POST /add-checkpoint and waits 30 s for the reply. `where`: the path of a socket, or
/// "http://HOST:PORT[/PREFIX]". Throws SysError, Refusal.
journal::Witness::Reply ask_witness(const std::string& where, const std::string& body);

}  // namespace agentrun::witness
