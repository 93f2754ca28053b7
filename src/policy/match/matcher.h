// Which rules does a path match? A trie over components: literals are found by hash, globs are tried one by one where
// they hang, `**` is a node that stays active. One walk over a path answers for all layers, so 10,000 rules cost nearly
// what 10 do.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <agentrun/sys/glob.h>
#include "policy/match/pattern.h"

namespace agentrun::policy {

/// Rules of one kind form a layer; the matcher knows layers only by number.
using LayerSet = std::uint32_t;
inline constexpr std::size_t max_layers = 20;

/// The best match of a layer: the deepest, and among those the rule with the lowest number.
struct Hit {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t rule = none;
  std::uint32_t depth = 0;  // components of the path that the pattern used
  explicit operator bool() const noexcept { return rule != none; }
};
using Hits = std::array<Hit, max_layers>;

class Matcher {
 public:
  class Builder;
  Matcher() = default;

  /// Finds the hits of `layers`. False when `path` is not absolute and normal: `hits` mean nothing then. Does not
  /// allocate for profiles in which fewer than 64 patterns can be half matched at once.
  [[nodiscard]] bool match(std::string_view path, LayerSet layers, Hits& hits) const;

  /// All rules of `layers` that match, each once, the lowest number first. Empty when `path` is not normal.
  [[nodiscard]] std::vector<std::uint32_t> match_all(std::string_view path, LayerSet layers) const;

  /// Could a rule of `layers` match some path strictly below `path`? True when `path` is not normal.
  [[nodiscard]] bool may_match_below(std::string_view path, LayerSet layers) const;

  /// Does every rule of `layers` that matches `path`, or could match below it, do the same of `other` and the names
  /// below that? False when in doubt, or when a path is not normal.
  [[nodiscard]] bool matches_no_more(std::string_view path, std::string_view other, LayerSet layers) const;

 private:
  struct Range {
    std::uint32_t begin = 0, end = 0;
  };
  struct Node {
    std::uint32_t star = 0;  // the `**` node that hangs here; 0: none
    Range globs;             // that have no affix: tried one by one
    Range affixes;           // kinds of affixes of the other globs
    Range terminals;
    LayerSet below = 0;  // layers that can match strictly below a path that leads here
    bool is_star = false;
  };
  struct Terminal {
    std::uint32_t rule;
    std::uint8_t layer;
    Scope scope;
  };
  struct GlobEdge {
    std::uint32_t child;
    Glob glob;
  };
  // The globs of a node that begin, or end, with so many bytes are found by these bytes.
  struct Affix {
    enum class Side : std::uint8_t { prefix = 1, suffix = 2 };
    Side side;
    std::uint32_t size;
    friend auto operator<=>(const Affix&, const Affix&) = default;
    [[nodiscard]] std::string_view of(std::string_view name) const noexcept;
  };
  // One slot of the open-addressed table of all edges that are found by bytes: from a node and a name to a node, or
  // from a node, a side and an affix to a group of globs.
  struct Slot {
    std::uint32_t from = 0, to = 0;    // to 0: the slot is free
    std::uint32_t name = 0, size = 0;  // in names_
  };
  class Walk;

  [[nodiscard]] static std::uint64_t hash(std::string_view name) noexcept;
  [[nodiscard]] static std::uint64_t mix(std::uint64_t name_hash, std::uint32_t from) noexcept;
  [[nodiscard]] static std::uint32_t tagged(std::uint32_t node, Affix::Side side) noexcept;
  [[nodiscard]] std::uint32_t find(std::uint32_t from, std::string_view name, std::uint64_t name_hash) const noexcept;

  std::vector<Node> nodes_{1};  // 0 is the root
  std::vector<Terminal> terminals_;
  std::vector<GlobEdge> globs_;
  std::vector<Affix> affixes_;
  std::vector<Range> groups_{1};  // of globs_, by the number in a slot; 0 is nobody's
  std::vector<Slot> slots_{1};    // a power of two
  std::string names_;
};

/// Collects patterns, then makes the matcher.
class Matcher::Builder {
 public:
  void add(const PathPattern& pattern, std::uint8_t layer, std::uint32_t rule);
  [[nodiscard]] Matcher build() const;

 private:
  struct Draft {
    std::map<std::string, std::uint32_t, std::less<>> literals, globs;
    std::uint32_t star = 0;
    bool is_star = false;
    std::vector<Terminal> terminals;
  };
  std::uint32_t child(std::uint32_t node, const Component& component);
  struct Edge {
    std::uint32_t from;
    std::string name;
    std::uint32_t to;
  };
  static void lay_out_globs(const Draft& draft, std::uint32_t number, Matcher& matcher, std::vector<Edge>& edges);
  static void fill_table(const std::vector<Edge>& edges, Matcher& matcher);
  void sum_up(Matcher& matcher) const;

  std::vector<Draft> drafts_{1};
};

}  // namespace agentrun::policy
