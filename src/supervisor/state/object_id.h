// What a directory is, whatever its name: a directory that was moved is still the one that was remembered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::supervisor {

/// Device and inode number, and the time of birth in ns where the file system has one (statx(2)); else 0.
struct ObjectId {
  std::uint64_t dev = 0, ino = 0;
  std::int64_t born = 0;
};

/// Number and time of birth tell an object from one that got its number later, and do not change when devices are
/// numbered anew by a reboot. Without a time of birth the device has to be the same.
bool same_object(const ObjectId& a, const ObjectId& b) noexcept;

/// Of what stands at a path; a link at its end is not followed. nullopt: nothing, or nothing that can be looked at.
std::optional<ObjectId> object_id(const std::string& path);

/// "DEV:INO:BORN", and back.
std::string text_of(const ObjectId& id);
std::optional<ObjectId> parse_object_id(std::string_view text);

}  // namespace agentrun::supervisor
