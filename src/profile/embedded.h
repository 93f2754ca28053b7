// The trees of the shipped profiles, as they are kept in the program: parsing YAML at each start costs more than all
// the rest of a profile's way. embed_profiles.cc makes them, from the same read_tree() that reads a user's file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "profile/yaml_tree.h"

namespace agentrun::profile {

/// One node, before those below it: a map's entries as key, value, key, value.
struct StoredNode {
  Node::Kind kind;
  std::uint16_t line, column;
  std::uint16_t children;  // items, or entries
  std::uint16_t size;      // of its text, which follows that of the node before
};

struct StoredProfile {
  std::string_view name, text;
  std::span<const StoredNode> nodes;
  std::string_view texts;
};

/// Sorted by name. Defined in a source file that is made when agent-run is built.
std::span<const StoredProfile> stored_profiles() noexcept;

/// The tree of a shipped profile, as read_tree() would give it for this file name.
Node restore_tree(const StoredProfile& profile, const std::string& file);

}  // namespace agentrun::profile
