// One DNS message in, one out (RFC 1035, 6891, 8914). Pure: what the answer is, is asked of the caller. The wire format
// is read and written by ldns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::egress::dns {

inline constexpr std::uint16_t type_a = 1, type_ptr = 12, type_aaaa = 28;
inline constexpr std::size_t largest_query = 1232;  // a question with options; nobody has a reason to send more
inline constexpr std::size_t classic_limit = 512;   // RFC 1035 §4.2.1: an answer by UDP without EDNS

enum class Rcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  not_implemented = 4,
  refused = 5
};
std::string_view name(Rcode) noexcept;

struct Question {
  std::string name;    // lower case, without the last dot; what is no host name in the escapes of RFC 1035 §5.1
  bool plain = false;  // `name` consists of letters, digits, "-", "_" and dots
  std::uint16_t type = 0;
};
/// "A", "HTTPS", "TYPE4711".
std::string type_name(std::uint16_t type);

/// What to say to a question of class IN.
struct Reply {
  Rcode rcode = Rcode::refused;
  std::optional<std::uint32_t> address;  // an A record, host byte order
  std::string pointer;                   // a PTR record to this name, when not empty
  std::string why;                       // for a person: sent as an Extended DNS Error to who can take it
};
using Decide = std::function<Reply(const Question&)>;

/// The answer to a message; nullopt when it deserves none. `decide` is called once, and only for a single well-formed
/// question of class IN. An answer over `limit` bytes is sent empty with TC set. The question comes back byte for byte.
std::optional<std::string> answer(std::string_view message, std::size_t limit, const Decide& decide);

/// The address that a name of in-addr.arpa speaks of, host byte order.
std::optional<std::uint32_t> reverse_address(std::string_view name);

}  // namespace agentrun::egress::dns
