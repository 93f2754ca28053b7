// What agents, servers, proxies and a broker that was taken over send to egress. The first byte says which reader gets
// the rest. Each must stay within its bounds, and never call good what it must not.
#include <cstdlib>
#include <string>
#include <string_view>

#include "egress/dns/dns.h"
#include "egress/inspect/first_bytes.h"
#include "egress/inspect/second_hello.h"
#include "egress/packet/netfilter.h"
#include "egress/proxy/proxies.h"

using namespace agentrun;
using namespace agentrun::egress;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void fuzz_dns(std::string_view bytes) {
  int asked = 0;
  const auto answer = dns::answer(bytes, dns::classic_limit, [&](const dns::Question& question) {
    ++asked;
    require(!question.plain || question.name.size() <= 253);
    return dns::Reply{.rcode = dns::Rcode::no_error,
                      .address = 0xC612'0101,
                      .pointer = question.plain ? question.name : "",
                      .why = question.name};
  });
  require(asked <= 1);
  require(!answer || (answer->size() <= dns::classic_limit && answer->size() >= 12 && ((*answer)[2] & 0x80) != 0 &&
                      (*answer)[0] == bytes[0]));
}

void fuzz_first_bytes(std::string_view bytes) {
  static const HelloReader reader;
  const Finding finding = judge_first_bytes(bytes, "api.example.com", bytes.size() % 2 == 0 ? 443 : 80, reader);
  require(finding.kind != Finding::Kind::more || (finding.needed > bytes.size() && finding.needed <= most_first_bytes));
  // What passes as TLS or HTTP holds the name somewhere.
  if (finding.kind == Finding::Kind::pass && !finding.seen.empty())
    require(authority_names(finding.seen, "api.example.com"));
  require(finding.kind != Finding::Kind::pass || bytes.empty() || (finding.size > 0 && finding.size <= bytes.size()));
  const Finding next = judge_next_hello(bytes, "api.example.com", reader);
  require(next.kind != Finding::Kind::pass || (next.size > 0 && next.size <= bytes.size()));
  require(next.then != Finding::Then::answer || authority_names(next.seen, "api.example.com"));
}

// In one piece and byte by byte: the same, and what holds "HTTP/" in its first line is never passed whole.
void fuzz_second_hello(std::string_view bytes) {
  ServerAnswer whole, pieces;
  FirstLine line, line_in_pieces;
  whole.take(bytes);
  FirstLine::State state = FirstLine::State::more;
  for (const char& byte : bytes) {
    pieces.take({&byte, 1});
    if (state == FirstLine::State::more) state = line_in_pieces.take({&byte, 1});
  }
  require(whole.state() == pieces.state());
  require(line.take(bytes) == state);
}

void fuzz_announcement(std::string_view bytes) {
  const auto announcement = decode_announcement(bytes);
  if (announcement) require(encode(*announcement) == bytes);
  const auto answer = decode_answer(bytes);
  if (answer) require(encode(*answer) == bytes);
}

void fuzz_proxy(std::string_view bytes) {
  const Proxy http{.kind = Proxy::Kind::http, .host = "p", .port = 1, .user = "u", .password = "p"};
  const Proxy socks{.kind = Proxy::Kind::socks5, .host = "p", .port = 1, .user = "u", .password = "p"};
  for (const Proxy* proxy : {&http, &socks}) {
    ProxyTalk talk(*proxy, "a.example", {});
    std::string_view rest = bytes;
    while (!rest.empty() && talk.state() == ProxyTalk::State::talking) {
      (void)talk.take_output();
      const std::size_t used = talk.take_input(rest);
      require(used <= rest.size());
      if (used == 0) break;
      rest.remove_prefix(used);
    }
  }
  try {
    (void)parse_proxy("X", bytes);
  } catch (const std::exception&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      fuzz_dns(rest);
      break;
    case 1:
      fuzz_first_bytes(rest);
      break;
    case 2:
      fuzz_announcement(rest);
      break;
    case 3:
      fuzz_proxy(rest);
      break;
    case 4:
      fuzz_second_hello(rest);
      break;
    default:
      (void)read_packet(rest);
  }
  return 0;
}
