// Ed25519 keys that ssh-agent(1) holds (draft-miller-ssh-agent, RFC 8709): they sign, and never leave it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal::ssh_agent {

using Public = std::array<std::uint8_t, 32>;
struct Held {
  Public key{};
  std::string comment;
};
/// $SSH_AUTH_SOCK; Refusal when it is not set.
std::string socket_path();
/// The Ed25519 keys that it holds. Throws SysError, Refusal.
std::vector<Held> list(const std::string& socket);
/// A signature by one of them; a person may be asked for it (ssh-add(1), -c), for a minute. Throws SysError, Refusal.
std::array<std::uint8_t, 64> sign(const std::string& socket, const Public& key, std::string_view message);

}  // namespace agentrun::journal::ssh_agent
