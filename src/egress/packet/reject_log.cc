#include "egress/packet/reject_log.h"

#include "egress/dns/addresses.h"

namespace agentrun::egress {

namespace {
constexpr int second_ms = 1000;
}

void Drops::add(const Drop& drop) {
  if (held_.empty() && others_.empty()) loop_.set_deadline(*this, second_ms);
  std::string key(drop.type);
  key += drop.proto + " " + endpoint_text(drop.to) + std::string(drop.reason);
  const auto found = held_.find(key);
  if (found != held_.end()) {
    ++found->second.count;
    return;
  }
  if (held_.size() >= most_kept)
    ++others_[drop.type];
  else
    held_.emplace(std::move(key), Held{drop, 1});
}

void Drops::flush() {
  loop_.clear_deadline(*this);
  for (const auto& [key, held] : held_) {
    const Drop& drop = held.drop;
    // No rule can speak of protocols other than these two.
    const bool known = drop.proto == "tcp" || drop.proto == "udp";
    const policy::Verdict verdict = known ? policy_.decide_connect(drop.to, drop.name) : policy::Verdict{};
    const bool denied = known && verdict.act != policy::Act::allow;
    const std::string remedy = denied ? policy_.remedy_connect(verdict, drop.to, drop.name) : "";
    (void)recorder_.dropped({.type = drop.type,
                             .to = drop.to,
                             .proto = drop.proto,
                             .reason = drop.reason,
                             .count = held.count,
                             .uid = drop.uid},
                            remedy);
    const bool port = known && drop.to.port != 0;
    std::string text = "send " + drop.proto + " to " + (port ? endpoint_text(drop.to) : address_text(drop.to));
    if (!drop.name.empty()) text += " (" + drop.name + ")";
    if (!drop.reason.empty()) text += ", " + std::string(drop.reason);
    recorder_.deny(text, remedy);
  }
  for (const auto& [type, count] : others_) (void)recorder_.dropped_others(type, count);
  held_.clear();
  others_.clear();
}

}  // namespace agentrun::egress
