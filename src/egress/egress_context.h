// What the parts of egress work with. All of it lives as long as the loop runs.
#pragma once

#include <cstdint>
#include <string>

#include <agentrun/egress.h>
#include "egress/dns/lookup.h"
#include "egress/dns/own_addresses.h"
#include "egress/egress_records.h"
#include "egress/event_loop.h"
#include "egress/inspect/client_hello.h"
#include "egress/proxy/proxies.h"

namespace agentrun::egress {

class Origins;

struct Context {
  Loop& loop;
  const policy::Policy& policy;
  const Names& names;
  Recorder& recorder;
  Lookup& lookup;
  OwnAddresses& own;
  const ProxyRules& proxies;
  const HelloReader& hello;
  const Origins* conntrack;   // null: there is no socket to ask it by
  std::size_t most_flows;     // that descriptors suffice for
  std::size_t flows = 0;      // connections and flows of datagrams that are there or are about to come
  std::uint64_t last_id = 0;  // of flows that no announcement names
  /// CLOCK_MONOTONIC, ns: until then IPv4 goes first, for an IPv6 address that was tried before it did not answer.
  std::int64_t v4_first_until = 0;
  std::size_t held = 0;  // bytes that flows have taken and could not send yet

  [[nodiscard]] bool full() const noexcept { return flows >= most_flows; }
};

/// Counts a flow while it lives.
class Seat {
 public:
  explicit Seat(Context& context) : context_(&context) { ++context.flows; }
  Seat(Seat&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}
  Seat& operator=(Seat&& other) noexcept {
    std::swap(context_, other.context_);
    return *this;
  }
  ~Seat() {
    if (context_ != nullptr) --context_->flows;
  }

 private:
  Context* context_;
};

/// What the policy says of a flow. A synthetic address must be the one that egress gave the name.
policy::Verdict judge(const Context& context, const FlowFacts& facts);

/// Must the first bytes of this flow name its name?
bool wants_name_check(const FlowFacts& facts, const policy::Verdict& verdict);

}  // namespace agentrun::egress
