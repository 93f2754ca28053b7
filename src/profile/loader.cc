// Names and paths → the chain of profiles. Each file is opened once; what was read is what is meant.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include <agentrun/sys/fd.h>

#include <agentrun/profile/fail.h>
#include "profile/embedded.h"
#include "profile/profile_reader.h"
#include "profile/values.h"

namespace agentrun::profile {

namespace {

constexpr std::size_t max_files = 32;

bool is_path(std::string_view name) {
  return name.find('/') != std::string_view::npos || name.ends_with(".yaml");
}

std::string directory_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string::npos ? std::string{} : file.substr(0, slash + 1);
}

// A file's bytes with what tells two names of one file apart: device and inode.
struct Source {
  std::string identity, file, text;
  const StoredProfile* stored = nullptr;  // shipped: its tree is there already
};

Profile profile_of(const Source& source) {
  if (source.stored == nullptr) return parse(source.text, source.file);
  Profile profile = read_profile(restore_tree(*source.stored, source.file), source.file);
  profile.text = source.text;
  profile.author = Author::shipped;
  refuse_unbuilt(profile);
  return profile;
}

[[noreturn]] void fail_open(const Place& asked_at, const std::string& path, int error) {
  if (error == ELOOP)
    fail(asked_at, path, "too many symbolic links, or one that changed", "name the file that they lead to");
  fail(asked_at, path, "cannot be read: " + std::string(errno_name(error)), "check the path and its permissions");
}

std::string read_all(const Fd& fd, const Place& asked_at, const std::string& path) {
  std::string text(max_bytes + 1, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = retry_eintr([&] { return ::read(fd.get(), text.data() + have, text.size() - have); });
    if (got < 0) fail_open(asked_at, path, errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  return text;
}

// Where a profile that is a link (home-manager, stow) leads. Only links that nobody but root and this user could make
// or replace are followed; where agents could have made one, the supervisor refuses it (prepare.cc).
std::string follow_links(std::string path, const Place& asked_at) {
  constexpr int most = 16;
  const auto trusted = [](const struct stat& st) { return st.st_uid == 0 || st.st_uid == ::geteuid(); };
  for (int links = 0; links <= most; ++links) {
    struct stat link {
    }, directory{};
    if (::lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return path;
    const std::string parent = directory_of(path);
    if (::stat(parent.empty() ? "." : parent.c_str(), &directory) != 0) fail_open(asked_at, path, errno);
    const bool open_to_all = (directory.st_mode & S_IWOTH) != 0 && (directory.st_mode & S_ISVTX) == 0;
    if (!trusted(link) || open_to_all || (!trusted(directory) && (directory.st_mode & S_ISVTX) == 0))
      fail(asked_at, path, "a symbolic link that somebody else could change", "name the file that it leads to");
    std::string text(PATH_MAX, '\0');
    const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
    if (size <= 0) fail_open(asked_at, path, errno);
    text.resize(static_cast<std::size_t>(size));
    path = text.front() == '/' ? text : parent + text;
  }
  fail_open(asked_at, path, ELOOP);
}

// nullopt: there is no such file.
std::optional<Source> try_open(const std::string& path, const Place& asked_at) {
  // O_NONBLOCK: a FIFO in its place must not hold the start up.
  const Fd fd(::open(follow_links(path, asked_at).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) fail_open(asked_at, path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail_open(asked_at, path, errno);
  if (!S_ISREG(status.st_mode)) fail(asked_at, path, "not a regular file", "name a file");
  if ((status.st_mode & S_IWOTH) != 0)
    fail(asked_at, path, "anyone may write to it", "read it, then run chmod o-w on it");
  return Source{.identity = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino),
                .file = path,
                .text = read_all(fd, asked_at, path)};
}

class Chain {
 public:
  explicit Chain(const std::string& user_directory) : user_directory_(user_directory) {}

  // `from`: the file that asks, "" for the command line.
  void add(const std::string& wanted, const Place& asked_at, const std::string& from) {
    const Source source = find(wanted, asked_at, from);
    if (std::find(open_.begin(), open_.end(), source.identity) != open_.end())
      fail(asked_at, "extends", "\"" + wanted + "\" extends itself", "remove it from one of the profiles");
    if (!seen_.insert(source.identity).second) return;
    if (seen_.size() > max_files) fail(asked_at, "extends", "more than 32 profiles", "join some of them");
    Profile profile = profile_of(source);
    open_.push_back(source.identity);
    for (const Pattern& parent : profile.extends) add(parent.value, parent.place, source.file);
    open_.pop_back();
    chain_.push_back(std::move(profile));
  }

  std::vector<Profile> take() { return std::move(chain_); }

 private:
  [[nodiscard]] Source find(const std::string& wanted, const Place& asked_at, const std::string& from) const {
    return is_path(wanted) ? find_path(wanted, asked_at, from) : find_name(wanted, asked_at);
  }

  [[nodiscard]] static Source find_path(const std::string& wanted, const Place& asked_at, const std::string& from) {
    const std::string path = wanted.front() == '/' ? wanted : directory_of(from) + wanted;
    if (auto source = try_open(path, asked_at)) return *std::move(source);
    fail(asked_at, path, "no such file", "check the path; a shipped profile is named without .yaml");
  }

  [[nodiscard]] Source find_name(const std::string& wanted, const Place& asked_at) const {
    if (!is_profile_name(wanted))
      fail(asked_at, wanted, "not a name of a profile", "write a name, or a path with a slash");
    if (!user_directory_.empty()) {
      if (auto source = try_open(user_directory_ + "/" + wanted + ".yaml", asked_at)) return *std::move(source);
    }
    const auto stored = stored_profiles();
    if (const auto found = std::ranges::find(stored, std::string_view(wanted), &StoredProfile::name);
        found != stored.end())
      return {.identity = "shipped:" + wanted,
              .file = wanted + ".yaml",
              .text = std::string(found->text),
              .stored = &*found};
    std::vector<std::string_view> names;
    std::string list;
    for (const StoredProfile& profile : stored) {
      names.push_back(profile.name);
      list.append(list.empty() ? "" : ", ").append(profile.name);
    }
    const std::string_view near = nearest(wanted, names);
    fail(asked_at, wanted, "no such profile",
         near.empty() ? "shipped are: " + list : "did you mean " + std::string(near) + "?");
  }

  const std::string& user_directory_;
  std::set<std::string> seen_;
  std::vector<std::string> open_;  // the line of descent, to tell a cycle from a common ancestor
  std::vector<Profile> chain_;
};

}  // namespace

std::vector<Profile> Loader::load(std::string_view name_or_path) const {
  const std::string wanted(name_or_path);
  if (wanted.empty()) fail({}, {}, "an empty name of a profile", "write a name or a path");
  Chain chain(user_directory_);
  chain.add(wanted, {}, {});
  return chain.take();
}

}  // namespace agentrun::profile
