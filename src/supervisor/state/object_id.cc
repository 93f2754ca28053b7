// Identities of directories by statx(2).
#include "supervisor/state/object_id.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <charconv>

namespace agentrun::supervisor {

bool same_object(const ObjectId& a, const ObjectId& b) noexcept {
  if (a.ino != b.ino) return false;
  return a.born != 0 && b.born != 0 ? a.born == b.born : a.dev == b.dev;
}

std::optional<ObjectId> object_id(const std::string& path) {
  struct statx st {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_INO | STATX_BTIME, &st) != 0)
    return std::nullopt;
  constexpr std::int64_t second = 1'000'000'000;
  const bool has_birth = (st.stx_mask & STATX_BTIME) != 0;
  return ObjectId{.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
                  .ino = st.stx_ino,
                  .born = has_birth ? st.stx_btime.tv_sec * second + st.stx_btime.tv_nsec : 0};
}

std::string text_of(const ObjectId& id) {
  return std::to_string(id.dev) + ":" + std::to_string(id.ino) + ":" + std::to_string(id.born);
}

std::optional<ObjectId> parse_object_id(std::string_view text) {
  ObjectId id;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](auto& to, char after) {
    const auto [next, error] = std::from_chars(at, end, to);
    at = next;
    if (error != std::errc{}) return false;
    if (after == '\0') return at == end;
    return at != end && *at++ == after;
  };
  if (!number(id.dev, ':') || !number(id.ino, ':') || !number(id.born, '\0')) return std::nullopt;
  return id;
}

}  // namespace agentrun::supervisor
