// Makes the control group of a run, writes its limits and reads them back; removes groups that killed runs left.
#include "sandbox/cgroup/cgroup.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>

namespace agentrun::sandbox {

namespace {

constexpr std::uint64_t cpu_period_us = 100'000;
constexpr std::string_view prefix = "agent-run-";
constexpr int tries = 200;
constexpr timespec pause_between{.tv_sec = 0, .tv_nsec = 1'000'000};
constexpr double unlimited = std::numeric_limits<double>::infinity();

std::string read_at(const Fd& directory, const char* name) {
  const Fd file(check(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC), "open", name));
  std::string text(4096, '\0');
  const ssize_t n = check(retry_eintr([&] { return ::read(file.get(), text.data(), text.size()); }), "read", name);
  text.resize(static_cast<std::size_t>(n));
  return text;
}

// No O_CREAT: a missing file means a missing controller.
void write_at(const Fd& directory, const std::string& name, const std::string& value) {
  const Fd file(check(::openat(directory.get(), name.c_str(), O_WRONLY | O_CLOEXEC), "open", name));
  write_all(file, value, name);
}

// "max", "1048576", or a quota and its period: "50000 100000".
double bound_of(std::string_view text) {
  double number[2] = {unlimited, 1};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (double& part : number) {
    while (at < end && *at == ' ') ++at;
    const auto read = std::from_chars(at, end, part);
    if (read.ec != std::errc{}) break;
    at = read.ptr;
  }
  return number[0] / number[1];
}

// The kernel rounds memory down to pages, and systemd chooses its own period for a quota. So the value read back may be
// lower, but not higher.
void require(const Fd& directory, const Setting& setting) {
  const double found = bound_of(read_at(directory, setting.file.c_str()));
  if (!(found <= bound_of(setting.value) * 1.001)) throw SysError(ENOTRECOVERABLE, "read back", setting.file);
}

// systemd writes the limits of a scope after it has moved the process, so this waits for each.
void require_in_time(const Fd& directory, const Setting& setting) {
  for (int i = 0; i < tries; ++i) {
    try {
      return require(directory, setting);
    } catch (const SysError&) {
      if (i + 1 == tries) throw;
      ::nanosleep(&pause_between, nullptr);
    }
  }
}

void set(const Fd& directory, const Setting& setting) {
  try {
    write_at(directory, setting.file, setting.value);
  } catch (const SysError& error) {
    if (setting.need == Setting::Need::where_there && error.error() == ENOENT) return;
    throw;
  }
  require(directory, setting);
}

void enable_controllers(const std::string& parent, const TreeLimits& limits) {
  const Fd directory(check(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", parent));
  const std::set<std::string> enabled = words_of(read_at(directory, "cgroup.subtree_control"));
  for (const std::string& controller : controllers_for(limits))
    if (!enabled.contains(controller)) write_at(directory, "cgroup.subtree_control", "+" + controller);
}

bool is_linked(const std::string& path, const Fd& directory) {
  struct stat named {
  }, held{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(directory.get(), &held) == 0 && named.st_ino == held.st_ino &&
         named.st_dev == held.st_dev;
}

// Locks the group before use. Another run's remove_stale_groups() takes the lock first too; if it was faster, the
// result is empty.
Fd make_locked(const std::string& path) {
  check(::mkdir(path.c_str(), 0755), "mkdir", path);
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0 && is_linked(path, directory)) return directory;
  ::rmdir(path.c_str());
  return {};
}

std::uint64_t count_oom_kills(const Fd& directory) {
  constexpr std::string_view key = "oom_kill ";
  const std::string events = "\n" + read_at(directory, "memory.events");
  const std::size_t at = events.find("\n" + std::string(key));
  std::uint64_t number = 0;
  if (at != std::string::npos)
    std::from_chars(events.data() + at + 1 + key.size(), events.data() + events.size(), number);
  return number;
}

}  // namespace

std::set<std::string> words_of(std::string_view text) {
  std::set<std::string> words;
  std::istringstream stream{std::string(text)};
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

std::set<std::string> controllers_for(const TreeLimits& limits) {
  std::set<std::string> controllers;
  if (limits.memory) controllers.insert("memory");
  if (limits.tasks) controllers.insert("pids");
  if (limits.cpus) controllers.insert("cpu");
  return controllers;
}

std::uint64_t tasks_in_group(std::uint64_t tasks) noexcept {
  return tasks + 1;
}

std::vector<Setting> settings_for(const TreeLimits& limits) {
  using enum Setting::Need;
  std::vector<Setting> settings;
  if (limits.memory) {
    settings.push_back({required, "memory.max", std::to_string(*limits.memory)});
    settings.push_back({where_there, "memory.swap.max", "0"});
  }
  if (limits.tasks) settings.push_back({required, "pids.max", std::to_string(tasks_in_group(*limits.tasks))});
  if (limits.cpus) {
    const auto quota = static_cast<std::uint64_t>(std::llround(*limits.cpus * static_cast<double>(cpu_period_us)));
    settings.push_back({required, "cpu.max", std::to_string(quota) + " " + std::to_string(cpu_period_us)});
  }
  return settings;
}

Group Group::make(const std::string& parent, const TreeLimits& limits) {
  remove_stale_groups(parent);
  enable_controllers(parent, limits);
  Group group;
  const std::string stem = parent + "/" + std::string(prefix) + std::to_string(::getpid()) + "-";
  for (int i = 0; i < tries && !group.directory_; ++i) {
    group.path_ = stem + std::to_string(boot_clock_ns());
    group.directory_ = make_locked(group.path_);
  }
  if (!group.directory_) throw SysError(EBUSY, "mkdir", group.path_);
  group.made_ = true;
  for (const Setting& setting : settings_for(limits)) set(group.directory_, setting);
  return group;
}

Group Group::adopt(const std::string& directory, const TreeLimits& limits) {
  Group group;
  group.path_ = directory;
  group.directory_.reset(check(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", directory));
  for (const Setting& setting : settings_for(limits))
    if (setting.need == Setting::Need::required) require_in_time(group.directory_, setting);
  return group;
}

Group& Group::operator=(Group&& other) noexcept {
  end();
  directory_ = std::move(other.directory_);
  path_ = std::move(other.path_);
  made_ = other.made_;
  last_oom_kills_ = other.last_oom_kills_;
  return *this;
}

std::uint64_t Group::oom_kills() const noexcept {
  if (!directory_) return last_oom_kills_;
  try {
    return count_oom_kills(directory_);
  } catch (const std::exception&) {
    return last_oom_kills_;  // the file is missing without the memory controller
  }
}

void Group::end() noexcept {
  if (!directory_) return;
  last_oom_kills_ = oom_kills();
  const Fd kill(::openat(directory_.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));  // Linux 5.14
  if (kill) (void)!::write(kill.get(), "1", 1);
  // EBUSY: killed processes have not ended yet. systemd removes the directory of a scope.
  for (int i = 0; made_ && i < tries && ::rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i)
    ::nanosleep(&pause_between, nullptr);
  directory_.reset();
}

void remove_stale_groups(const std::string& parent) noexcept {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(parent.c_str()));
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (!std::string_view(entry->d_name).starts_with(prefix)) continue;
    const Fd directory(::openat(::dirfd(dir.get()), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0)
      ::unlinkat(::dirfd(dir.get()), entry->d_name, AT_REMOVEDIR);  // EBUSY: a process is still in it
  }
}

}  // namespace agentrun::sandbox
