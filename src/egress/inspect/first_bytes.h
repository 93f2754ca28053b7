// What the first bytes of a connection say about whom it is for. A name that the policy allows must be the name that
// the other side is told: behind one address there are many (content networks), and the name inside the connection is
// the one that counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "egress/inspect/client_hello.h"

namespace agentrun::egress {

inline constexpr std::size_t most_first_bytes = 64 * 1024;  // of a ClientHello with its records
inline constexpr std::size_t most_head = 32 * 1024;  // of a request: what nginx takes (large_client_header_buffers)

struct Finding {
  enum class Kind : std::uint8_t {
    more,    // at least `needed` bytes are needed in all
    pass,    // it names the name, or speaks a protocol that names none
    refuse,  // `reason` says why, `seen` what it named
  } kind = Kind::refuse;
  std::size_t needed = 0;
  /// Of `more`: what has to be among the bytes that come, so that to judge all of them again is worth it.
  enum class Awaits : std::uint8_t { bytes, word, line, head } awaits = Awaits::bytes;
  std::string_view reason;
  std::string seen;
  /// Of `pass`: so many of the bytes may go, and what has to be watched from there on.
  std::size_t size = 0;
  enum class Then : std::uint8_t {
    nothing,
    answer,      // a ClientHello went: no byte more until the server has answered (ServerAnswer)
    next_hello,  // records that are none went: judge_next_hello() for what follows
    line,        // its first line goes on (FirstLine)
  } then = Then::nothing;
};

/// Judges what the client sent so far of a connection to `name` (lower case, no dot at the end) and `port`. Which
/// protocol it is, the bytes say: TLS (RFC 8446 §5.1), a request of HTTP/1 (RFC 9112 §3), or another. On port 443 all
/// but TLS is refused.
Finding judge_first_bytes(std::string_view bytes, std::string_view name, std::uint16_t port, const HelloReader& hello);

/// What the client sends after a server asked for another ClientHello: it must name `name` too. What may stand before
/// it (RFC 8446 §D.4, §4.2.10: change_cipher_spec, early data, which the server passes over) goes.
Finding judge_next_hello(std::string_view bytes, std::string_view name, const HelloReader& hello);

/// Can `bytes` be judged otherwise than their first `judged`, which were found to be `last` (Kind::more)? Looks at the
/// new ones only.
bool is_worth_judging(const Finding& last, std::size_t judged, std::string_view bytes);

// The parts of it, for their tests.
Finding judge_tls(std::string_view bytes, std::string_view name, const HelloReader& hello);
/// Of a keep-alive connection the first request only: the ones after it are as free as the content of this one.
Finding judge_http(std::string_view head, std::string_view name);
/// Does `authority` ("name", "name:port", in any case, with a dot at the end or not) name `name`?
bool authority_names(std::string_view authority, std::string_view name);

}  // namespace agentrun::egress
