// Between classify.cc and its test.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::review {

/// Does the profile host-exec protect or keep this name, in any case and at any depth?
bool is_protected_name(std::string_view path);
/// What is trusted beyond that: a path of each kind.
std::vector<std::string> names_of_apply();

}  // namespace agentrun::review
