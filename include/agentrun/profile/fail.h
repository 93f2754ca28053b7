// How a profile is refused: place, key, message and remedy, thrown as ProfileError.
#pragma once

#include <string>
#include <string_view>

#include <agentrun/profile.h>

namespace agentrun::profile {

[[noreturn]] inline void fail(const Place& place, std::string_view key, std::string_view message, std::string remedy) {
  throw ProfileError(place, key, message, std::move(remedy));
}

}  // namespace agentrun::profile
