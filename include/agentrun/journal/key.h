// Ed25519 keys, signed notes and the long-lived identity. Formats: C2SP signed-note and tlog-checkpoint, RFC 8032.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <agentrun/journal/tree.h>

namespace agentrun::journal {

/// An Ed25519 key pair, or its public half alone, with its note name.
class Key {
 public:
  /// Names follow C2SP signed-note: not empty, UTF-8, without spaces and '+'. Refusal otherwise.
  static Key generate(std::string name);
  static Key from_seed(std::string name, std::span<const std::uint8_t, 32> seed);
  static Key from_public(std::string name, const std::array<std::uint8_t, 32>& bytes);
  static Key from_vkey(std::string_view vkey);  // throws Refusal on anything but the canonical form
  /// A key whose private half is elsewhere, such as in ssh-agent. `signer` returns the signature or throws. Each
  /// signature is verified.
  using Signer = std::function<std::array<std::uint8_t, 64>(std::string_view message)>;
  [[nodiscard]] Key signing_by(Signer signer) const;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] std::string vkey() const;  // name+hex(keyid)+base64(0x01||pub)
  [[nodiscard]] std::array<std::uint8_t, 4> id() const noexcept;
  [[nodiscard]] std::array<std::uint8_t, 32> public_bytes() const noexcept;
  /// Throws std::logic_error without the private half.
  [[nodiscard]] std::array<std::uint8_t, 64> sign(std::string_view message) const;
  [[nodiscard]] bool verify(std::string_view message, std::span<const std::uint8_t> signature) const noexcept;
  /// The same key under another note name.
  [[nodiscard]] Key renamed(std::string name) const;

 private:
  struct State;
  explicit Key(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;  // private bytes: locked in memory, not dumped, wiped in a forked child
};

/// Returns a signed note: `text`, which ends in LF, an empty line and one signature line for each key.
std::string sign_note(std::string_view text, std::span<const Key* const> keys);

/// The size and root hash of a tree, named by its origin.
struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
};
std::string checkpoint_text(const Checkpoint& checkpoint);

/// "agent-run/<first 16 hex digits of SHA-256(pub)>": the name of an identity and the prefix of its runs' origins.
std::string identity_name(const Key& key);

/// Loads the long-lived identity from $state/identity.key (mode 0600) and identity.vkey, and makes it on first use. Its
/// note name is identity_name(). Two processes that make it at the same time agree on one key. If only identity.vkey
/// exists, ssh-agent holds the private half and signs. Throws SysError, or Refusal for a wrong mode, a wrong owner or a
/// damaged file.
Key load_or_make_identity(const std::filesystem::path& state_directory);
/// Makes an Ed25519 key of ssh-agent the identity: the only one, or the only one whose comment contains `comment`.
/// Throws Refusal when none or several match, or when there is an identity already.
Key adopt_identity(const std::filesystem::path& state_directory, std::string_view comment);

}  // namespace agentrun::journal
