// Renames over a file that is granted by itself. Such a file is a mount point, so the kernel returns EBUSY (rename(2)),
// and nearly every program that saves settings fails there. Such a program needs the new content, which is written in
// place. That is not atomic as a rename is, so the old content is restored if the new one does not fit.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "broker/calls/replace.h"
#include "broker/task/caller_limits.h"

namespace agentrun::broker {

namespace {

constexpr std::size_t largest = 1024 * 1024;  // of each content: a receiver holds both in memory

Fd open_regular(const ParentAndName& target, int flags) {
  Fd fd(::openat(target.parent.get(), target.name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  struct stat st {};
  if (fd && (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))) fd.reset();
  return fd;
}

// nullopt: the file exceeds `largest`, or cannot be read.
std::optional<std::string> content_of(const Fd& fd) {
  std::string text(largest + 1, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::pread(fd.get(), text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > largest) return std::nullopt;
  text.resize(have);
  return text;
}

int write_whole(const Fd& fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::pwrite(fd.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n < 0) return errno;
    done += static_cast<std::size_t>(n);
  }
  return ::ftruncate(fd.get(), static_cast<off_t>(text.size())) == 0 ? 0 : errno;
}

}  // namespace

bool is_mounted_file(const ParentAndName& target) {
  struct statx st {};
  if (::statx(target.parent.get(), target.name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MNT_ID, &st) != 0)
    return false;
  return S_ISREG(st.stx_mode) && (st.stx_mask & STATX_MNT_ID) != 0 && !Resolver::on_mount(target.parent, st.stx_mnt_id);
}

int replace_content(const Permit&, const Task& task, const ParentAndName& from, const ParentAndName& to) {
  const Fd source = open_regular(from, O_RDONLY);
  Object target;
  target.fd = open_regular(to, O_RDWR);
  target.mode = S_IFREG;
  if (!source || !target.fd) return EBUSY;  // as the kernel would
  const auto fresh = content_of(source), old = content_of(target.fd);
  if (!fresh || !old) return EBUSY;
  if (const int error = size_allowed(task, target, static_cast<off_t>(fresh->size())); error != 0) return error;
  if (const int error = write_whole(target.fd, *fresh); error != 0) {
    (void)write_whole(target.fd, *old);
    return error;
  }
  return ::unlinkat(from.parent.get(), from.name.c_str(), 0) == 0 ? 0 : errno;
}

}  // namespace agentrun::broker
