// YAML text → a tree of checked nodes, before any key has a meaning. Of YAML 1.2 only maps, lists and scalars are
// taken: no anchors, aliases, tags, merge keys, directives, second documents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/profile.h>

namespace agentrun::profile {

struct Entry;

struct Node {
  enum class Kind : std::uint8_t { null, plain, quoted, list, map };
  Kind kind = Kind::null;
  Place place;
  std::string text;            // of a scalar
  std::vector<Node> items;     // of a list
  std::vector<Entry> entries;  // of a map, in order; keys are unique

  [[nodiscard]] bool is_scalar() const noexcept { return kind == Kind::plain || kind == Kind::quoted; }
};

struct Entry {
  Node key;  // a scalar
  Node value;
};

/// Throws ProfileError.
Node read_tree(std::string_view text, const std::string& file);

}  // namespace agentrun::profile
