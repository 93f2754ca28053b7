// Tree → Profile: what each key means and which shape its value has. The tables in profile_reader.cc are the language's
// list of keys; profiles/schema.json repeats it for editors, and a test compares the two.
#pragma once

#include <string>
#include <vector>

#include <agentrun/profile.h>

#include "profile/yaml_tree.h"

namespace agentrun::profile {

/// Throws ProfileError. Does not yet refuse what is not built.
Profile read_profile(const Node& root, const std::string& file);

/// Every key of the language, "files.read" style, sorted.
std::vector<std::string> known_keys();

/// A name that a profile may have, also as a file name: letters, digits, '.', '_', '-'; not "built-in", "command-line".
bool is_profile_name(std::string_view name) noexcept;

}  // namespace agentrun::profile
