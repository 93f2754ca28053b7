// Recognizes state directories by their content: identity.key, or identity.vkey beside runs/.
#include <agentrun/journal/state_shape.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {

bool is_kind(const Fd& directory, const char* name, mode_t kind) {
  struct stat st {};
  return ::fstatat(directory.get(), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == kind;
}

// True for a regular file that begins with `text`, and for one of this user that is not readable.
bool begins_with(const Fd& directory, const char* name, std::string_view text) {
  if (!is_kind(directory, name, S_IFREG)) return false;
  const Fd file(::openat(directory.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) {
    struct stat st {};
    return ::fstatat(directory.get(), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == ::geteuid();
  }
  std::array<char, 32> bytes{};
  const ssize_t n = retry_eintr([&] { return ::read(file.get(), bytes.data(), bytes.size()); });
  return n > 0 && std::string_view(bytes.data(), static_cast<std::size_t>(n)).starts_with(text);
}

}  // namespace

bool marks_state(std::string_view entry) noexcept {
  return entry == files::identity_key || entry == files::identity_vkey;
}

bool is_state_directory(const std::string& path) {
  const Fd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return false;
  if (begins_with(directory, files::identity_key, "PRIVATE+KEY+agent-run/")) return true;
  return begins_with(directory, files::identity_vkey, "agent-run/") && is_kind(directory, files::runs, S_IFDIR);
}

}  // namespace agentrun::journal
