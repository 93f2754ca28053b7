#include <algorithm>
#include <bit>

#include "policy/matcher.h"

namespace agentrun::policy {

std::uint32_t Matcher::Builder::child(std::uint32_t node, const Component& component) {
  const auto fresh = static_cast<std::uint32_t>(drafts_.size());
  std::uint32_t found = fresh;
  switch (component.kind) {
    case Component::Kind::literal:
      found = drafts_[node].literals.try_emplace(component.text, fresh).first->second;
      break;
    case Component::Kind::glob:
      found = drafts_[node].globs.try_emplace(component.text, fresh).first->second;
      break;
    case Component::Kind::any:
      if (drafts_[node].star == 0) drafts_[node].star = fresh;
      found = drafts_[node].star;
      break;
  }
  if (found == fresh) {
    drafts_.emplace_back();
    drafts_.back().is_star = component.kind == Component::Kind::any;
  }
  return found;
}

void Matcher::Builder::add(const PathPattern& pattern, std::uint8_t layer, std::uint32_t rule) {
  std::uint32_t node = 0;
  for (const Component& component : pattern.components) node = child(node, component);
  auto& terminals = drafts_[node].terminals;
  const auto same = std::find_if(terminals.begin(), terminals.end(),
                                 [&](const Terminal& t) { return t.layer == layer && t.scope == pattern.scope; });
  if (same == terminals.end())
    terminals.push_back({.rule = rule, .layer = layer, .scope = pattern.scope});
  else
    same->rule = std::min(same->rule, rule);
}

void Matcher::Builder::lay_out_edges(const Draft& draft, Matcher& matcher, Node& node) {
  node.star = draft.star;
  node.is_star = draft.is_star;
  node.terminals_begin = static_cast<std::uint32_t>(matcher.terminals_.size());
  matcher.terminals_.insert(matcher.terminals_.end(), draft.terminals.begin(), draft.terminals.end());
  node.terminals_end = static_cast<std::uint32_t>(matcher.terminals_.size());
  node.globs_begin = static_cast<std::uint32_t>(matcher.globs_.size());
  for (const auto& [source, target] : draft.globs) matcher.globs_.push_back({.child = target, .glob = Glob(source)});
  node.globs_end = static_cast<std::uint32_t>(matcher.globs_.size());
}

void Matcher::Builder::fill_table(Matcher& matcher) const {
  std::size_t edges = 0;
  for (const Draft& draft : drafts_) edges += draft.literals.size();
  // At most a third full: most look-ups are of names that are not there, and end at the first free slot.
  matcher.slots_.assign(std::bit_ceil(edges * 3 + 1), {});
  const std::uint64_t last = matcher.slots_.size() - 1;
  for (std::uint32_t node = 0; node < drafts_.size(); ++node) {
    for (const auto& [name, target] : drafts_[node].literals) {
      std::uint64_t at = mix(hash(name), node) & last;
      while (matcher.slots_[at].child != 0) at = (at + 1) & last;
      matcher.slots_[at] = {.parent = node,
                            .child = target,
                            .name = static_cast<std::uint32_t>(matcher.names_.size()),
                            .size = static_cast<std::uint32_t>(name.size())};
      matcher.names_ += name;
    }
  }
}

// A child is made after its parent, so one pass from the last node to the first sees every child before its parent.
void Matcher::Builder::sum_up(Matcher& matcher) const {
  const auto of_child = [&](std::uint32_t node) {
    LayerSet layers = matcher.nodes_[node].below;
    for (const Terminal& terminal : drafts_[node].terminals) layers |= 1U << terminal.layer;
    return layers;
  };
  for (auto node = static_cast<std::uint32_t>(drafts_.size()); node-- > 0;) {
    LayerSet below = 0;
    for (const Terminal& terminal : drafts_[node].terminals) {
      if (terminal.scope != Scope::self) below |= 1U << terminal.layer;
    }
    for (const auto& [name, target] : drafts_[node].literals) below |= of_child(target);
    for (const auto& [source, target] : drafts_[node].globs) below |= of_child(target);
    if (drafts_[node].star != 0) below |= of_child(drafts_[node].star);
    matcher.nodes_[node].below = below;
  }
}

Matcher Matcher::Builder::build() const {
  Matcher matcher;
  matcher.nodes_.assign(drafts_.size(), {});
  for (std::size_t i = 0; i < drafts_.size(); ++i) lay_out_edges(drafts_[i], matcher, matcher.nodes_[i]);
  fill_table(matcher);
  sum_up(matcher);
  return matcher;
}

}  // namespace agentrun::policy
