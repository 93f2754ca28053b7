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

/// Runs agent-run-nft in the caller's network namespace, beside the caller.
class RulesetLoader {
 public:
  RulesetLoader() = default;
  /// Starts it: it needs the host's libraries, so this is before the old root goes away. It gets CAP_NET_ADMIN over the
  /// namespace as an ambient capability; the caller's ambient set is empty again afterwards.
  RulesetLoader(const std::string& program, const std::string& ruleset);
  RulesetLoader(RulesetLoader&&) noexcept = default;
  RulesetLoader& operator=(RulesetLoader&&) noexcept = default;
  /// Waits for it and compares what the kernel lists with `ruleset`: the same chains, hooks and policies, and as many
  /// rules. Throws SysError.
  void join(const std::string& ruleset);

 private:
  pid_t pid_ = -1;
  Fd output_;
};

}  // namespace agentrun::sandbox
