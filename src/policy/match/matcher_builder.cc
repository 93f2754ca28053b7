// Builds the trie of a Matcher from patterns.
#include <algorithm>
#include <bit>

#include "policy/match/matcher.h"

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
  const auto same = std::find_if(terminals.begin(), terminals.end(), [&](const Terminal& t) {
    return t.layer == layer && t.scope == pattern.scope && t.rule == rule;
  });
  if (same == terminals.end()) terminals.push_back({.rule = rule, .layer = layer, .scope = pattern.scope});
}

// The globs without an affix first, then group by group. Longer affixes tell more globs apart.
void Matcher::Builder::lay_out_globs(const Draft& draft, std::uint32_t number, Matcher& matcher,
                                     std::vector<Edge>& edges) {
  std::map<std::pair<Affix, std::string>, std::vector<GlobEdge>> groups;
  Node& node = matcher.nodes_[number];
  node.globs.begin = static_cast<std::uint32_t>(matcher.globs_.size());
  for (const auto& [source, target] : draft.globs) {
    GlobEdge edge{.child = target, .glob = Glob(source)};
    const bool by_suffix = edge.glob.suffix().size() >= edge.glob.prefix().size();
    const std::string& affix = by_suffix ? edge.glob.suffix() : edge.glob.prefix();
    const Affix kind{by_suffix ? Affix::Side::suffix : Affix::Side::prefix, static_cast<std::uint32_t>(affix.size())};
    if (affix.empty())
      matcher.globs_.push_back(std::move(edge));
    else
      groups[{kind, affix}].push_back(std::move(edge));
  }
  node.globs.end = static_cast<std::uint32_t>(matcher.globs_.size());
  node.affixes.begin = static_cast<std::uint32_t>(matcher.affixes_.size());
  for (auto& [key, members] : groups) {
    const auto& [kind, affix] = key;
    const bool known = matcher.affixes_.size() > node.affixes.begin && matcher.affixes_.back() == kind;
    if (!known) matcher.affixes_.push_back(kind);
    edges.push_back(
        {.from = tagged(number, kind.side), .name = affix, .to = static_cast<std::uint32_t>(matcher.groups_.size())});
    const auto begin = static_cast<std::uint32_t>(matcher.globs_.size());
    for (GlobEdge& member : members) matcher.globs_.push_back(std::move(member));
    matcher.groups_.push_back({.begin = begin, .end = static_cast<std::uint32_t>(matcher.globs_.size())});
  }
  node.affixes.end = static_cast<std::uint32_t>(matcher.affixes_.size());
}

void Matcher::Builder::fill_table(const std::vector<Edge>& edges, Matcher& matcher) {
  // At most a third full: most look-ups are of names that are not there, and end at the first free slot.
  matcher.slots_.assign(std::bit_ceil(edges.size() * 3 + 1), {});
  const std::uint64_t last = matcher.slots_.size() - 1;
  for (const Edge& edge : edges) {
    std::uint64_t at = mix(hash(edge.name), edge.from) & last;
    while (matcher.slots_[at].to != 0) at = (at + 1) & last;
    matcher.slots_[at] = {.from = edge.from,
                          .to = edge.to,
                          .name = static_cast<std::uint32_t>(matcher.names_.size()),
                          .size = static_cast<std::uint32_t>(edge.name.size())};
    matcher.names_ += edge.name;
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
  std::vector<Edge> edges;
  for (std::uint32_t number = 0; number < drafts_.size(); ++number) {
    const Draft& draft = drafts_[number];
    Node& node = matcher.nodes_[number];
    node.star = draft.star;
    node.is_star = draft.is_star;
    node.terminals.begin = static_cast<std::uint32_t>(matcher.terminals_.size());
    matcher.terminals_.insert(matcher.terminals_.end(), draft.terminals.begin(), draft.terminals.end());
    node.terminals.end = static_cast<std::uint32_t>(matcher.terminals_.size());
    for (const auto& [name, target] : draft.literals) edges.push_back({.from = number, .name = name, .to = target});
    lay_out_globs(draft, number, matcher, edges);
  }
  fill_table(edges, matcher);
  sum_up(matcher);
  return matcher;
}

}  // namespace agentrun::policy
