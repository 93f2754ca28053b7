// Enforces the caller's resource limits (setrlimit(2)) on what the broker does for it.
#include "broker/task/caller_limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

#include <agentrun/sys/process.h>
#include "broker/notify/memory.h"

namespace agentrun::broker {

namespace {

// An unreadable limit counts as infinite: the limits bound the agent's own use, and the kernel still enforces what it
// can.
rlim_t limit_of(const Task& task, __rlimit_resource resource) {
  rlimit limit{};
  return ::prlimit(task.pid, resource, nullptr, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

// Counts the task's descriptors with a number below `limit`.
rlim_t descriptors_below(const Task& task, rlim_t limit) {
  const int fd = with_ptrace([&] { return ::openat(task.proc.get(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), ::closedir);
  if (!directory) {
    ::close(fd);
    return 0;
  }
  rlim_t count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    rlim_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec == std::errc{} && number < limit) ++count;
  }
  return count;
}

// Counts the task's descriptors: the size of its fd directory since Linux 6.2 (proc_pid_fd(5)). 0: unknown.
rlim_t descriptors_of(const Task& task) {
  struct stat st {};
  return ::fstatat(task.proc.get(), "fd", &st, 0) == 0 && st.st_size > 0 ? static_cast<rlim_t>(st.st_size) : 0;
}

// Signals by a pidfd of the thread, and only if the task was still alive after the pidfd was opened. A signal by number
// could hit another process of this user, inside or outside. Before Linux 6.9 only processes have pidfds.
void signal_caller(const Task& task, int signal) {
  constexpr unsigned pidfd_thread = O_EXCL;  // PIDFD_THREAD
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, task.tid, pidfd_thread)));
  if (!pidfd && errno == EINVAL) pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, task.pid, 0)));
  if (pidfd && ::faccessat(task.proc.get(), "comm", F_OK, 0) == 0) (void)pidfd_signal(pidfd, signal);
}

}  // namespace

int descriptor_room(const Task& task) {
  const rlim_t limit = limit_of(task, RLIMIT_NOFILE);
  if (const rlim_t count = descriptors_of(task); count != 0 && count < limit) return 0;
  // A table with fewer slots than the limit can always grow. Nearly every program has a small table and a large limit.
  if (limit == RLIM_INFINITY || Tasks::descriptor_slots(task) < limit) return 0;
  return descriptors_below(task, limit) >= limit ? EMFILE : 0;
}

int size_allowed(const Task& task, const Object& object, off_t length) {
  struct stat st {};
  if (!S_ISREG(object.mode) || ::fstat(object.fd.get(), &st) != 0 || length <= st.st_size) return 0;
  if (static_cast<rlim_t>(length) <= limit_of(task, RLIMIT_FSIZE)) return 0;
  signal_caller(task, SIGXFSZ);
  return EFBIG;
}

}  // namespace agentrun::broker
