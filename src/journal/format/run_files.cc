// Opens, reads and replaces the files of a run.
#include "journal/format/run_files.h"

#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "journal/format/random.h"

namespace agentrun::journal::files {

std::string segment(unsigned number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 6 - std::min<std::size_t>(6, digits.size()), '0');
  return "entries." + digits + ".jsonl";
}

bool is_run_id(std::string_view id) noexcept {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return !id.empty() && id.size() <= 64 && id[0] != '.' && std::ranges::all_of(id, allowed);
}

Fd open_directory(const std::string& path) {
  return Fd(check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
}

Fd make(const Fd& directory, const std::string& name, int flags) {
  return Fd(check(::openat(directory.get(), name.c_str(), flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
                  "open", name));
}

std::optional<Fd> try_open(const Fd& directory, const std::string& name) {
  try {
    return open_regular(directory.get(), name, O_RDONLY);
  } catch (const SysError& error) {
    if (error.error() == ENOENT) return std::nullopt;
    throw;
  }
}

bool exists(const Fd& directory, const std::string& name) {
  struct stat st {};
  return ::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

std::optional<Fd> try_regular(const Fd& directory, const std::string& name) {
  try {
    return try_open(directory, name);
  } catch (const SysError& error) {
    if (is_no_file(error.error())) return std::nullopt;
    throw;
  }
}

std::optional<std::string> try_read(const Fd& directory, const std::string& name, std::size_t limit) {
  const auto fd = try_open(directory, name);
  if (!fd) return std::nullopt;
  std::string content;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t n = check(retry_eintr([&] { return ::read(fd->get(), piece.data(), piece.size()); }), "read", name);
    if (n == 0) return content;
    content.append(piece.data(), static_cast<std::size_t>(n));
    if (content.size() > limit) throw SysError(EFBIG, "read", name);
  }
}

void replace(const Fd& directory, const std::string& name, std::string_view content, Sync sync) {
  const std::string temporary = name + "." + random_suffix();
  try {
    const Fd fd = make(directory, temporary, O_WRONLY);
    write_all(fd, content, temporary);
    if (sync == Sync::data) check(::fdatasync(fd.get()), "fdatasync", temporary);
    check(::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()), "rename", name);
  } catch (const SysError&) {
    ::unlinkat(directory.get(), temporary.c_str(), 0);
    throw;
  }
}

std::string random_suffix() {
  std::array<std::uint8_t, 4> bytes{};
  fill_random(bytes);
  return hex(bytes);
}

}  // namespace agentrun::journal::files
