// nftables rulesets as text, one statement a line (nft(8)).
#include <agentrun/egress.h>

namespace agentrun::egress {

// Everything but loopback is refused at once, not dropped in silence: a program that waits for a timeout is a program
// that hangs. Protocol 6 is TCP (RFC 9293); as a name it would be looked up with the host's name services, at each
// start.
std::string closed_ruleset() {
  return R"(table inet agentrun {
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
  }
  chain output {
    type filter hook output priority 0; policy drop;
    oifname "lo" ip daddr 127.0.0.0/8 accept
    oifname "lo" ip6 daddr ::1 accept
    meta l4proto 6 reject with tcp reset
    reject with icmpx port-unreachable
  }
}
)";
}

}  // namespace agentrun::egress
