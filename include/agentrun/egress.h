// The way out of the sandbox's network namespace: in this version, none.
#pragma once

#include <string>

namespace agentrun::egress {

/// The nftables ruleset without egress, as text for agent-run-nft: policy drop, loopback accepted, all else rejected at
/// once (nft(8)).
std::string closed_ruleset();

}  // namespace agentrun::egress
