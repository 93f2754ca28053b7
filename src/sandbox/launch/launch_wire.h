// The words that the launch's processes say to each other, over one SOCK_SEQPACKET pair: a tag, then its payload.
#pragma once

#include <agentrun/sys/fd.h>
#include <agentrun/sys/process.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::sandbox {

enum class Tag : char {
  hello = 'h',     // child → parent: PDEATHSIG is set, I am dumpable
  mapped = 'm',    // parent → child: uid_map and gid_map are written
  terminal = 't',  // child → parent, with the master of the agent's terminal
  agent = 'a',     // child → parent, with a pidfd of the agent
  ready = 'r',     // agent → parent: the filter is loaded; payload: the listener's number in the agent, an int
  sockets = 's',   // child → parent, with egress's sockets; payload: which (way_out.h)
  go = 'g',        // parent → child: exec
  change = 'c',    // init → parent: payload Change
  failure = 'f',   // child or agent → parent: payload Failure
};

struct Message {
  Tag tag{};
  std::string payload;
  std::vector<Fd> fds;
};

/// Throws SysError.
inline void send(const Fd& socket, Tag tag, std::string_view payload = {}, std::span<const int> fds = {}) {
  std::string bytes(1, static_cast<char>(tag));
  send_message(socket, bytes.append(payload), fds);
}

/// Blocks; nullopt at end of file. Throws SysError.
inline std::optional<Message> receive(const Fd& socket) {
  auto message = recv_message(socket);
  if (!message || message->bytes.empty()) return std::nullopt;
  return Message{static_cast<Tag>(message->bytes.front()), message->bytes.substr(1), std::move(message->fds)};
}

/// Numbers travel as the bytes of an int: both ends are one program.
inline std::string_view bytes_of(const int& number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}
inline std::optional<int> int_of(std::string_view bytes) {
  int number = 0;
  if (bytes.size() != sizeof number) return std::nullopt;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

}  // namespace agentrun::sandbox
