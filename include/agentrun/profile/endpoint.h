// The endpoints of network rules and of network.publish: text → value. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <agentrun/profile.h>

namespace agentrun::profile {

struct PortRange {
  std::uint16_t first = 0, last = 0;  // both included; 1…65535 is "*"
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

/// Network byte order, 4 or 16 bytes; what lies beyond `length` bits is 0. A mapped IPv4 range is written as IPv4.
struct AddressRange {
  bool v6 = false;
  std::array<std::uint8_t, 16> address{};
  std::uint8_t length = 0;
  friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

/// What stands before the port of a rule.
struct Endpoint {
  enum class Kind : std::uint8_t { any, name, below, range };  // below: "*.name"
  Kind kind = Kind::any;
  bool udp = false;
  std::string name;  // lower case, no dot at the end
  AddressRange range;
  PortRange ports;
};

/// What is wrong with a text, and what to write instead.
struct Fault {
  std::string message, remedy;
};
template <typename T>
using Parsed = std::variant<T, Fault>;

/// A host name in lower case and without the dot at its end; nullopt when it is none: labels of letters, digits, "-"
/// and
/// "_", at most 63 bytes each, 253 in all (RFC 1035 §2.3.4), and not a number as the last one, which C libraries take
/// for an address (inet_aton(3)).
std::optional<std::string> host_name(std::string_view text);
/// Is it one, as host_name() gives it?
bool is_host_name(std::string_view text) noexcept;
/// "host:ports", "*.host:ports", "*:ports", "address[/length]:ports", "[v6[/length]]:ports", with "udp://" before it or
/// not; ports: a number, "first-last" or "*".
Parsed<Endpoint> parse_endpoint(std::string_view text);

/// network.publish: a port of the host that leads to the same port of the sandbox's loopback.
struct Published {
  AddressRange address;  // of the host, one; 127.0.0.1 when only a port is written
  std::uint16_t port = 0;
};
/// "3000", "127.0.0.1:3000", "[::1]:3000".
Parsed<Published> parse_published(std::string_view text);

/// As a rule writes it: "10.0.0.0/8", "[2001:db8::5]".
std::string text_of(const AddressRange& range);
std::string text_of(const PortRange& ports);
std::string text_of(const Endpoint& endpoint);

}  // namespace agentrun::profile
