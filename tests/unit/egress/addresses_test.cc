// The table of address kinds, at the edges of each range and in every form that hides an IPv4 address.
#include <arpa/inet.h>
#include <doctest/doctest.h>

#include "egress/dns/addresses.h"

using namespace agentrun;
using namespace agentrun::egress;

namespace {

policy::Destination parse(const char* text) {
  policy::Destination to;
  to.v6 = std::string_view(text).find(':') != std::string_view::npos;
  REQUIRE(::inet_pton(to.v6 ? AF_INET6 : AF_INET, text, to.address) == 1);
  return to;
}

struct Row {
  const char* address;
  AddressKind kind;
};

constexpr Row rows[] = {
    {"0.0.0.0", AddressKind::unspecified},
    {"0.1.2.3", AddressKind::unspecified},
    {"1.0.0.0", AddressKind::open},
    {"9.255.255.255", AddressKind::open},
    {"10.0.0.0", AddressKind::private_use},
    {"10.255.255.255", AddressKind::private_use},
    {"11.0.0.0", AddressKind::open},
    {"100.63.255.255", AddressKind::open},
    {"100.64.0.0", AddressKind::shared},
    {"100.100.100.200", AddressKind::metadata},
    {"100.127.255.255", AddressKind::shared},
    {"100.128.0.0", AddressKind::open},
    {"127.0.0.1", AddressKind::loopback},
    {"127.255.255.254", AddressKind::loopback},
    {"128.0.0.1", AddressKind::open},
    {"169.253.255.255", AddressKind::open},
    {"169.254.0.1", AddressKind::link_local},
    {"169.254.169.254", AddressKind::metadata},
    {"169.254.170.2", AddressKind::metadata},
    {"169.254.170.23", AddressKind::metadata},
    {"168.63.129.16", AddressKind::metadata},
    {"168.63.129.15", AddressKind::open},
    {"::ffff:168.63.129.16", AddressKind::metadata},
    {"172.15.255.255", AddressKind::open},
    {"172.16.0.0", AddressKind::private_use},
    {"172.31.255.255", AddressKind::private_use},
    {"172.32.0.0", AddressKind::open},
    {"192.0.0.1", AddressKind::reserved},
    {"192.0.2.1", AddressKind::open},  // documentation counts as public
    {"192.167.255.255", AddressKind::open},
    {"192.168.0.0", AddressKind::private_use},
    {"192.168.255.255", AddressKind::private_use},
    {"198.17.255.255", AddressKind::open},
    {"198.18.0.1", AddressKind::benchmark},
    {"198.19.255.255", AddressKind::benchmark},
    {"198.20.0.0", AddressKind::open},
    {"198.51.100.7", AddressKind::open},
    {"203.0.113.5", AddressKind::open},
    {"223.255.255.255", AddressKind::open},
    {"224.0.0.1", AddressKind::multicast},
    {"239.255.255.255", AddressKind::multicast},
    {"240.0.0.1", AddressKind::reserved},
    {"255.255.255.254", AddressKind::reserved},
    {"255.255.255.255", AddressKind::broadcast},
    {"::", AddressKind::unspecified},
    {"::1", AddressKind::loopback},
    {"::2", AddressKind::unspecified},  // compatible form of 0.0.0.2
    {"::ffff:127.0.0.1", AddressKind::loopback},
    {"::ffff:10.0.0.5", AddressKind::private_use},
    {"::ffff:169.254.169.254", AddressKind::metadata},
    {"::ffff:8.8.8.8", AddressKind::embeds},
    {"::127.0.0.1", AddressKind::loopback},
    {"::ffff:0:192.168.1.1", AddressKind::private_use},
    {"64:ff9b::a00:1", AddressKind::private_use},
    {"64:ff9b::808:808", AddressKind::open},  // NAT64: the address behind it counts
    {"64:ff9b::a9fe:a9fe", AddressKind::metadata},
    {"64:ff9b::7f00:1", AddressKind::loopback},
    {"64:ff9b:1::808:808", AddressKind::embeds},
    {"64:ff9b:1::7f00:1", AddressKind::loopback},
    {"2002:a00:1::1", AddressKind::private_use},
    {"2002:7f00:1::", AddressKind::loopback},
    {"2002:808:808::1", AddressKind::embeds},
    {"2001:0:4136:e378:8000:63bf:f5ff:fffe", AddressKind::private_use},  // Teredo of 10.0.0.1
    {"2001:0:4136:e378:8000:63bf:f7f7:f7f7", AddressKind::embeds},       // of 8.8.8.8
    {"2001:db8::1", AddressKind::open},
    {"2001:10::1", AddressKind::reserved},
    {"2001:2::1", AddressKind::benchmark},
    {"2001:200::1", AddressKind::open},
    {"2606:4700::1111", AddressKind::open},
    {"2606:4700::5efe:10.0.0.1", AddressKind::private_use},  // ISATAP
    {"2606:4700::200:5efe:127.0.0.1", AddressKind::loopback},
    {"fc00::1", AddressKind::unique_local},
    {"fd00:198:18::1", AddressKind::unique_local},
    {"fd00:ec2::254", AddressKind::metadata},
    {"fe80::1", AddressKind::link_local},
    {"febf::1", AddressKind::link_local},
    {"fec0::1", AddressKind::private_use},
    {"ff02::1", AddressKind::multicast},
    {"100::1", AddressKind::reserved},
    {"4000::1", AddressKind::reserved},
    {"1fff::1", AddressKind::reserved},
    {"3fff::1", AddressKind::open},
};

}  // namespace

TEST_CASE("each address is classified as in the registries") {
  for (const Row& row : rows) {
    CAPTURE(row.address);
    CHECK(name(classify(parse(row.address))) == name(row.kind));
    CHECK(classify(parse(row.address)) == row.kind);
  }
}

TEST_CASE("addresses as text") {
  auto to = parse("2001:db8::5");
  to.port = 80;
  CHECK(egress::endpoint_text(to) == "[2001:db8::5]:80");
  to = parse("203.0.113.5");
  to.port = 443;
  CHECK(egress::endpoint_text(to) == "203.0.113.5:443");
}
