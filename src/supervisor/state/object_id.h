// The identity of a directory, independent of its name, so that a moved directory is recognised.
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

/// Inode number and time of birth distinguish an object from a later one with the same number, and survive a reboot
/// that renumbers devices. Without a time of birth the device must be equal too.
bool same_object(const ObjectId& a, const ObjectId& b) noexcept;

/// The identity of the object at a path; does not follow a link at its end. nullopt when there is none or it cannot be
/// read.
std::optional<ObjectId> object_id(const std::string& path);

/// "DEV:INO:BORN", and back.
std::string text_of(const ObjectId& id);
std::optional<ObjectId> parse_object_id(std::string_view text);

}  // namespace agentrun::supervisor
