// What the language has and this version does not: refused, never ignored. A later version deletes rows.
#include <algorithm>

#include <agentrun/profile/fail.h>

namespace agentrun::profile {

namespace {

using Found = std::optional<Place>;

Found first(const Patterns& list) {
  return list.empty() ? Found{} : list.front().place;
}

struct Unbuilt {
  std::string_view key;
  Found (*found)(const Profile&);
};
constexpr Unbuilt unbuilt[] = {
    {"files.ask", [](const Profile& p) { return first(p.files.ask); }},
    {"decisions", [](const Profile& p) { return p.decisions; }},
    {"weaken (other than host-root, limits, floor-only, trusted-grants)",
     [](const Profile& p) {
       const auto other = std::find_if(p.weaken.begin(), p.weaken.end(), [](const Pattern& w) {
         return w.value != "host-root" && w.value != "limits" && w.value != "floor-only" && w.value != "trusted-grants";
       });
       return other == p.weaken.end() ? Found{} : Found{other->place};
     }},
};

}  // namespace

void refuse_unbuilt(const Profile& profile) {
  for (const Unbuilt& row : unbuilt) {
    if (const Found place = row.found(profile))
      fail(*place, row.key, "not supported yet", "remove it: this version of agent-run does not support it");
  }
}

}  // namespace agentrun::profile
