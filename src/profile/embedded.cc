// Profiles that are compiled into the program, as parsed trees.
#include "profile/embedded.h"

namespace agentrun::profile {

namespace {

class Restoring {
 public:
  Restoring(const StoredProfile& profile, const std::string& file) : profile_(profile), file_(file) {}

  Node next() {
    const StoredNode& stored = profile_.nodes[at_++];
    Node node{.kind = stored.kind,
              .place = {.file = file_, .line = stored.line, .column = stored.column},
              .text = std::string(profile_.texts.substr(text_at_, stored.size))};
    text_at_ += stored.size;
    const bool is_map = stored.kind == Node::Kind::map;
    is_map ? node.entries.reserve(stored.children) : node.items.reserve(stored.children);
    for (std::uint16_t i = 0; i < stored.children; ++i) {
      if (!is_map) {
        node.items.push_back(next());
        continue;
      }
      Node key = next();
      node.entries.push_back({.key = std::move(key), .value = next()});
    }
    return node;
  }

 private:
  const StoredProfile& profile_;
  const std::string& file_;
  std::size_t at_ = 0, text_at_ = 0;
};

}  // namespace

Node restore_tree(const StoredProfile& profile, const std::string& file) {
  return Restoring(profile, file).next();
}

const std::map<std::string_view, std::string_view>& shipped() {
  static const auto* const profiles = [] {
    auto* map = new std::map<std::string_view, std::string_view>;
    for (const StoredProfile& profile : stored_profiles()) map->emplace(profile.name, profile.text);
    return map;
  }();
  return *profiles;
}

}  // namespace agentrun::profile
