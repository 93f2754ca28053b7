// The files `written` and `states`: canonical paths, each ended by NUL, in the order they were first granted. It only grows by one write(2) a
// run, and is made anew, without folders that are gone, when it has become long. flock(2) keeps the two apart.
#include "supervisor/written.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/paths.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>

namespace agentrun::supervisor {

namespace {

constexpr std::size_t long_file = 256 * 1024;
constexpr std::size_t most = 64 * 1024 * 1024;

std::string file_of(const std::string& state, Memory memory) {
  static constexpr std::array<std::string_view, 2> names = {"/written", "/states"};
  return state + std::string(names[static_cast<std::size_t>(memory)]);
}

std::vector<std::string> entries(std::string_view text) {
  std::vector<std::string> found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\0', at);
    if (end == std::string_view::npos) break;  // torn: the run that wrote it never began
    if (end > at) found.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return found;
}

std::string text_of(const std::vector<std::string>& folders) {
  std::string text;
  for (const std::string& folder : folders) text.append(folder).push_back('\0');
  return text;
}

// The file, locked, and still the one of that name.
Fd open_locked(const std::string& path) {
  for (;;) {
    Fd file = open_regular(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND);
    check(retry_eintr([&] { return ::flock(file.get(), LOCK_EX); }), "flock", path);
    struct stat ours {}, named {};
    check(::fstat(file.get(), &ours), "fstat", path);
    if (::lstat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) return file;
  }
}

// A folder that is gone holds no link.
void make_anew(const std::string& path) {
  std::vector<std::string> kept = entries(read_regular(path, most));
  std::erase_if(kept, [](const std::string& folder) {
    struct stat st {};
    return ::lstat(folder.c_str(), &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
  });
  const std::string next = path + ".new";
  const Fd file = open_regular(AT_FDCWD, next, O_WRONLY | O_CREAT | O_TRUNC);
  write_all(file, text_of(kept), next);
  check(::fsync(file.get()), "fsync", next);
  check(::rename(next.c_str(), path.c_str()), "rename", next);
}

}  // namespace

WrittenFolders::WrittenFolders(const std::vector<std::string>& states, Memory memory) : memory_(memory) {
  for (const std::string& state : states) {
    try {
      const auto found = entries(read_regular(file_of(state, memory), most));
      folders_.insert(folders_.end(), found.begin(), found.end());
    } catch (const SysError& e) {
      if (e.error() == ENOENT || e.error() == ENOTDIR) continue;
      throw Refusal(std::string(e.what()) + ": it says where agents could leave links", "make it readable, or remove it if you trust every link");
    }
  }
}

bool WrittenFolders::holds(std::string_view path) const {
  return std::any_of(folders_.begin(), folders_.end(), [&](const std::string& folder) { return within(path, folder); });
}

std::string_view WrittenFolders::holder(std::string_view path) const {
  std::string_view deepest;
  for (const std::string& folder : folders_) {
    if (folder != "/" && within(path, folder) && folder.size() > deepest.size()) deepest = folder;
  }
  return deepest;
}

void WrittenFolders::remember(const std::string& state, const std::vector<std::string>& folders) {
  std::vector<std::string> fresh;
  for (const std::string& folder : folders) {
    if (!holds(folder)) fresh.push_back(folder);
  }
  if (fresh.empty()) return;
  const std::string path = file_of(state, memory_);
  Fd file = open_locked(path);
  struct stat st {};
  check(::fstat(file.get(), &st), "fstat", path);
  if (static_cast<std::size_t>(st.st_size) > long_file) {
    make_anew(path);
    file = open_locked(path);
  }
  check(::fstat(file.get(), &st), "fstat", path);
  char last = 0;
  if (st.st_size > 0) check(::pread(file.get(), &last, 1, st.st_size - 1), "read", path);
  // What is torn stays an entry of its own: nothing is appended to it.
  const std::string text = (last == 0 ? std::string() : std::string(1, '\0')) + text_of(fresh);
  const ssize_t n = check(retry_eintr([&] { return ::write(file.get(), text.data(), text.size()); }), "write", path);
  if (static_cast<std::size_t>(n) != text.size()) throw SysError(ENOSPC, "write", path);
  check(::fdatasync(file.get()), "fdatasync", path);
  folders_.insert(folders_.end(), fresh.begin(), fresh.end());
}

}  // namespace agentrun::supervisor
