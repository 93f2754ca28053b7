// Text of a profile → Profile.
#include "profile/profile_reader.h"
#include "profile/yaml_tree.h"

namespace agentrun::profile {

Profile parse(std::string_view text, const std::string& file) {
  Profile profile = read_profile(read_tree(text, file), file);
  profile.text = text;
  refuse_unbuilt(profile);
  return profile;
}

}  // namespace agentrun::profile
