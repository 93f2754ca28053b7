// Which addresses may be dialed: by what they are, by what the host has, by what the rules name.
#include "egress/check_addresses.h"

#include <agentrun/egress/dialing.h>
#include "egress/addresses.h"

namespace agentrun::egress {

namespace {

struct Refused {
  std::string why;  // empty: it is not
  bool by_rule = false;
};

const policy::Rule* stopped_by(const policy::Policy& policy, const policy::Destination& to, const FlowFacts& facts) {
  const auto behind = behind_nat64(to);
  const policy::Rule* const inner = behind ? policy.stops_address(*behind, facts.program) : nullptr;
  // A raw address was judged before, but for what stands behind it.
  return inner != nullptr || facts.name.empty() ? inner : policy.stops_address(to, facts.program);
}

Refused refused(const policy::Policy& policy, OwnAddresses& own, const policy::Destination& to, const FlowFacts& facts) {
  if (const policy::Rule* const rule = stopped_by(policy, to, facts)) return {.why = "rule " + rule->id, .by_rule = true};
  const auto behind = behind_nat64(to);
  const AddressKind kind = classify(to);
  if (kind == AddressKind::open && !own.has(to) && !(behind && own.has(*behind))) return {};
  const bool named = policy.names_address(to, facts.program, shortest_prefix(to)) ||
                     (behind && policy.names_address(*behind, facts.program, shortest_prefix(*behind)));
  if (named) return {};
  return {.why = kind == AddressKind::open ? "of this host" : std::string(name(kind))};
}

}  // namespace

Checked check_addresses(const policy::Policy& policy, OwnAddresses& own, const std::vector<policy::Destination>& found, const FlowFacts& facts) {
  Checked checked;
  for (policy::Destination to : found) {
    to.port = facts.to.port;
    to.protocol = facts.to.protocol;
    const Refused why = refused(policy, own, to, facts);
    if (why.why.empty()) {
      checked.addresses.push_back(to);
      continue;
    }
    if (!checked.refused.empty()) continue;
    checked.refused = address_text(to) + " (" + why.why + ")";
    if (!why.by_rule) checked.remedy = "network: {allow: [\"" + endpoint_text(to) + "\"]}";
  }
  return checked;
}

NotDialed why_not_dialed(const policy::Policy& policy, const policy::Destination& to, std::string_view program) {
  OwnAddresses own;
  FlowFacts facts;
  facts.to = to;
  facts.program = program;
  Checked checked = check_addresses(policy, own, {to}, facts);
  return {.why = std::move(checked.refused), .remedy = std::move(checked.remedy)};
}

}  // namespace agentrun::egress
