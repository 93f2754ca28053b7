// Which addresses may be dialed.
#pragma once

#include <string>
#include <vector>

#include "egress/dns/own_addresses.h"
#include "egress/egress_records.h"

namespace agentrun::egress {

/// Of the addresses that a name led to, or of the one that was named, those that may be dialed, with the port of `to`.
/// What is not public, and what is an address of the host itself, is dialed only where a rule names it; what a rule of
/// network.deny or network.ask covers, never. Of an address that NAT64 translates (64:ff9b::/96) the one behind it is
/// judged too.
struct Checked {
  std::vector<policy::Destination> addresses;
  std::string refused;  // the first that was left out, and why: "10.0.0.5 (private)"; empty: none was
  std::string remedy;
};
Checked check_addresses(const policy::Policy& policy, OwnAddresses& own, const std::vector<policy::Destination>& found,
                        const FlowFacts& facts);

}  // namespace agentrun::egress
