// Finds the rules that a path matches, in one walk over its components.
#include "policy/match/matcher.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace agentrun::policy {

namespace {

// A small set of node numbers. It allocates only beyond 64 of them.
class Active {
 public:
  void clear() noexcept {
    size_ = 0;
    more_.clear();
  }
  void add(std::uint32_t node) {
    if (size_ < few_.size())
      few_[size_] = node;
    else
      more_.push_back(node);
    ++size_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t operator[](std::size_t i) const noexcept {
    return i < few_.size() ? few_[i] : more_[i - few_.size()];
  }
  [[nodiscard]] bool has(std::uint32_t node) const noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      if ((*this)[i] == node) return true;
    }
    return false;
  }

 private:
  std::array<std::uint32_t, 64> few_;  // what lies beyond size_ is not read
  std::size_t size_ = 0;
  std::vector<std::uint32_t> more_;
};

}  // namespace

std::uint64_t Matcher::hash(std::string_view name) noexcept {
  constexpr std::uint64_t factor = 0x9e3779b97f4a7c15U;
  std::uint64_t state = name.size() * factor;
  const auto take = [&](std::uint64_t word) {
    state = (state ^ word) * factor;
    state ^= state >> 29U;
  };
  while (name.size() >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, name.data(), sizeof word);
    take(word);
    name.remove_prefix(sizeof word);
  }
  // The rest in two loads that overlap, or byte by byte when it is shorter than the load.
  std::uint64_t word = 0;
  if (name.size() >= sizeof(std::uint32_t)) {
    std::uint32_t first = 0, last = 0;
    std::memcpy(&first, name.data(), sizeof first);
    std::memcpy(&last, name.data() + name.size() - sizeof last, sizeof last);
    word = static_cast<std::uint64_t>(first) << 32U | last;
  } else {
    for (const char byte : name) word = word << 8U | static_cast<unsigned char>(byte);
  }
  take(word);
  return state;
}

std::uint64_t Matcher::mix(std::uint64_t name_hash, std::uint32_t from) noexcept {
  const std::uint64_t mixed = (name_hash ^ from) * 0xff51afd7ed558ccdU;
  return mixed ^ mixed >> 32U;
}

// Nodes are far fewer than 2^30: a profile has at most 64 KiB.
std::uint32_t Matcher::tagged(std::uint32_t node, Affix::Side side) noexcept {
  return node | static_cast<std::uint32_t>(side) << 30U;
}

std::string_view Matcher::Affix::of(std::string_view name) const noexcept {
  return side == Side::prefix ? name.substr(0, size) : name.substr(name.size() - size);
}

// 0 when there is nothing: the root is nobody's child, and no group has that number.
std::uint32_t Matcher::find(std::uint32_t from, std::string_view name, std::uint64_t name_hash) const noexcept {
  const std::uint64_t last = slots_.size() - 1;
  for (std::uint64_t at = mix(name_hash, from) & last;; at = (at + 1) & last) {
    const Slot& slot = slots_[at];
    if (slot.to == 0) return 0;
    if (slot.from == from && slot.size == name.size() &&
        std::memcmp(names_.data() + slot.name, name.data(), name.size()) == 0)
      return slot.to;
  }
}

// One pass over a path: the set of active nodes after each component, and the hits so far.
class Matcher::Walk {
 public:
  Walk(const Matcher& matcher, LayerSet layers, Hits* hits) : matcher_(matcher), layers_(layers), hits_(hits) {}

  // False when the path is not normal.
  bool run(std::string_view path) {
    if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) return false;
    path.remove_prefix(1);
    enter(0, path.empty() ? Position::last : Position::inner);
    flip();
    while (!path.empty()) {
      const std::size_t size = std::min(path.find('/'), path.size());
      const std::string_view name = path.substr(0, size);
      if (name.empty() || name == "." || name == "..") return false;
      const bool more = size < path.size();
      path.remove_prefix(size + (more ? 1 : 0));
      if (more && path.empty()) return false;  // a trailing slash
      step(name, more ? Position::inner : Position::last);
    }
    return true;
  }

  /// Collects the rules that match the path that is walked, and those that match all below it.
  void note_terminals(std::vector<std::uint64_t>& marks) { marks_ = &marks; }

  /// Collects the rules that match the path that is walked.
  void note_rules(std::vector<std::uint32_t>& rules) { rules_ = &rules; }

  static std::uint64_t mark(const Terminal& terminal, Scope of) noexcept {
    return std::uint64_t{terminal.layer} << 40U | std::uint64_t{static_cast<std::uint8_t>(of)} << 32U | terminal.rule;
  }

  // After run(): the nodes from which something of the layers may match below.
  void note_nodes(std::vector<std::uint64_t>& marks) const {
    constexpr std::uint64_t is_node = std::uint64_t{1} << 63U;
    for (std::size_t i = 0; i < now().size(); ++i) {
      if ((matcher_.nodes_[now()[i]].below & layers_) != 0) marks.push_back(is_node | now()[i]);
    }
  }

  // After run(): could anything of the layers match below?
  [[nodiscard]] bool may_go_on() const noexcept {
    for (std::size_t i = 0; i < now().size(); ++i) {
      if ((matcher_.nodes_[now()[i]].below & layers_) != 0) return true;
    }
    return covered_;
  }

 private:
  enum class Position : std::uint8_t { inner, last };

  [[nodiscard]] const Active& now() const noexcept { return active_[turn_]; }
  [[nodiscard]] Active& next() noexcept { return active_[1 - turn_]; }
  void flip() noexcept { turn_ = 1 - turn_; }

  void step(std::string_view name, Position position) {
    ++depth_;
    if (now().size() == 0) return;
    next().clear();
    const std::uint64_t name_hash = hash(name);
    for (std::size_t i = 0; i < now().size(); ++i) {
      const std::uint32_t number = now()[i];
      const Node& node = matcher_.nodes_[number];
      if (node.is_star && !next().has(number)) next().add(number);
      if (const std::uint32_t child = matcher_.find(number, name, name_hash); child != 0) enter(child, position);
      try_globs(node.globs, name, position);
      for (std::uint32_t a = node.affixes.begin; a < node.affixes.end; ++a) {
        const Affix& affix = matcher_.affixes_[a];
        if (affix.size > name.size()) continue;
        const std::string_view bytes = affix.of(name);
        try_globs(matcher_.groups_[matcher_.find(tagged(number, affix.side), bytes, hash(bytes))], name, position);
      }
    }
    flip();
  }

  void try_globs(Range globs, std::string_view name, Position position) {
    for (std::uint32_t g = globs.begin; g < globs.end; ++g) {
      if (matcher_.globs_[g].glob.matches(name)) enter(matcher_.globs_[g].child, position);
    }
  }

  // Only a `**` node can be reached in two ways at once: every other node has one edge that leads to it.
  void enter(std::uint32_t number, Position position) {
    const Node& node = matcher_.nodes_[number];
    for (std::uint32_t t = node.terminals.begin; t < node.terminals.end; ++t) record(matcher_.terminals_[t], position);
    if ((node.below & layers_) == 0) return;
    next().add(number);
    if (node.star == 0 || (matcher_.nodes_[node.star].below & layers_) == 0) return;
    if (!next().has(node.star)) next().add(node.star);
  }

  void record(const Terminal& terminal, Position position) {
    if ((layers_ >> terminal.layer & 1U) == 0) return;
    if (terminal.scope != Scope::self) covered_ = true;
    if (terminal.scope == Scope::self && position == Position::inner) return;
    if (marks_ != nullptr && terminal.scope != Scope::self) marks_->push_back(mark(terminal, Scope::below));
    if (terminal.scope == Scope::below && position == Position::last) return;
    if (marks_ != nullptr) marks_->push_back(mark(terminal, Scope::self));
    if (rules_ != nullptr) rules_->push_back(terminal.rule);
    if (hits_ == nullptr) return;
    Hit& best = (*hits_)[terminal.layer];
    // Hits come in the order of their depth.
    if (!best || best.depth < depth_ || best.rule > terminal.rule) best = {.rule = terminal.rule, .depth = depth_};
  }

  const Matcher& matcher_;
  LayerSet layers_;
  Hits* hits_;
  std::vector<std::uint64_t>* marks_ = nullptr;
  std::vector<std::uint32_t>* rules_ = nullptr;
  std::array<Active, 2> active_;  // in turns: the nodes after the last component, and those after this one
  std::size_t turn_ = 0;
  std::uint32_t depth_ = 0;
  bool covered_ = false;  // a rule holds for everything below what was walked
};

bool Matcher::match(std::string_view path, LayerSet layers, Hits& hits) const {
  return Walk(*this, layers, &hits).run(path);
}

std::vector<std::uint32_t> Matcher::match_all(std::string_view path, LayerSet layers) const {
  std::vector<std::uint32_t> rules;
  Walk walk(*this, layers, nullptr);
  walk.note_rules(rules);
  if (!walk.run(path)) return {};
  std::sort(rules.begin(), rules.end());
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  return rules;
}

bool Matcher::may_match_below(std::string_view path, LayerSet layers) const {
  Walk walk(*this, layers, nullptr);
  return !walk.run(path) || walk.may_go_on();
}

bool Matcher::matches_no_more(std::string_view path, std::string_view other, LayerSet layers) const {
  const auto marks_of = [&](std::string_view walked) -> std::optional<std::vector<std::uint64_t>> {
    std::vector<std::uint64_t> marks;
    Walk walk(*this, layers, nullptr);
    walk.note_terminals(marks);
    if (!walk.run(walked)) return std::nullopt;
    walk.note_nodes(marks);
    std::sort(marks.begin(), marks.end());
    marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
    return marks;
  };
  const auto of_path = marks_of(path), of_other = marks_of(other);
  return of_path && of_other && std::includes(of_other->begin(), of_other->end(), of_path->begin(), of_path->end());
}

}  // namespace agentrun::policy
