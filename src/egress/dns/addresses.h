// What kind of address a number is. Pure. What is not public is dialed only where a rule names it (design.md §7).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <agentrun/policy.h>

namespace agentrun::egress {

enum class AddressKind : std::uint8_t {
  open,  // public, as far as its number tells; the ranges of the documentation too
  unspecified,
  loopback,
  private_use,
  link_local,
  shared,
  metadata,
  multicast,
  broadcast,
  reserved,
  benchmark,
  unique_local,
  embeds,
};
/// "private", "loopback", … as a denial says it.
std::string_view name(AddressKind) noexcept;

/// By the IANA special-purpose registries (RFC 6890 and its updates). A form that carries an IPv4 address (mapped,
/// compatible, translated, 6to4, Teredo, NAT64 of local use, ISATAP) is what that address is, and `embeds` when that is
/// public: it would be sent somewhere by an interpreter that we do not know. With the well-known prefix of NAT64 it is
/// what that address is.
AddressKind classify(const policy::Destination& to) noexcept;

/// How long the prefix of a range must be at least, to name this address: it must lie within the special range that the
/// address is in. Of the metadata services only the address itself names them, or a range of link-local ones.
unsigned shortest_prefix(const policy::Destination& to) noexcept;

/// The IPv4 address that NAT64 sends this one to (64:ff9b::/96, RFC 6052); nullopt for all others.
std::optional<policy::Destination> behind_nat64(const policy::Destination& to) noexcept;

/// The first four bytes of an address as a number, in host byte order: an IPv4 address.
std::uint32_t v4_number(const policy::Destination& to) noexcept;

/// "203.0.113.5", "2001:db8::5".
std::string address_text(const policy::Destination& to);
/// With the port: "203.0.113.5:80", "[2001:db8::5]:80".
std::string endpoint_text(const policy::Destination& to);

}  // namespace agentrun::egress
