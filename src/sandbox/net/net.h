// The sandbox's network namespace: loopback, and the packet filter that is loaded before the agent exists.
#pragma once

#include <agentrun/sys/fd.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::sandbox {

/// Sets the host name of our UTS namespace and brings lo up.
void set_host_name(const std::string& name);
void bring_loopback_up();

/// A base chain as nft(8) writes it, in a ruleset's text or in a listing.
struct Chain {
  std::string table, name, type, hook, policy;  // table: "inet agentrun"
  std::size_t rules = 0;
  friend bool operator==(const Chain&, const Chain&) = default;
};
/// The chains of a text in which every statement has a line of its own. Pure.
std::vector<Chain> chains_of(std::string_view ruleset);

}  // namespace agentrun::sandbox
