// Signing with Ed25519 keys in ssh-agent(1), which never leave it (draft-miller-ssh-agent, RFC 8709).
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
/// $SSH_AUTH_SOCK. Throws Refusal if it is not set.
std::string socket_path();
/// The agent's Ed25519 keys. Throws SysError, Refusal.
std::vector<Held> list(const std::string& socket);
/// A signature by one of them. The agent may ask the user to confirm (ssh-add(1), -c), for a minute. Throws SysError,
/// Refusal.
std::array<std::uint8_t, 64> sign(const std::string& socket, const Public& key, std::string_view message);

}  // namespace agentrun::journal::ssh_agent
