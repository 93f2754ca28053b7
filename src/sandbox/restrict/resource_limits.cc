// Writes sysctls of the sandbox's namespaces and sets resource limits.
#include "sandbox/restrict/resource_limits.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace agentrun::sandbox {

namespace {

// The kernel counts these resources per user. A run gets this part of the user's limit: one half.
constexpr rlim_t share = 2;

// The kernel counts in this user namespace and in those above it (user_namespaces(7), ucounts).
void leave_half(const Fd& proc, const char* ours, const char* hosts) {
  const Fd most(::openat(proc.get(), hosts, O_RDONLY | O_CLOEXEC));
  if (!most) return;  // a kernel without inotify
  char text[32] = {};
  check(::read(most.get(), text, sizeof text - 1), "read", hosts);
  const std::string half = std::to_string(std::max(std::strtoull(text, nullptr, 10) / share, 1ULL));
  const Fd file(check(::openat(proc.get(), ours, O_WRONLY | O_CLOEXEC), "openat", ours));
  write_all(file, half, ours);
}

}  // namespace

void set_kernel_limits(const Fd& proc) {
  const char* const namespaces = "sys/user/max_user_namespaces";
  const Fd file(check(::openat(proc.get(), namespaces, O_WRONLY | O_CLOEXEC), "openat", namespaces));
  write_all(file, "0", namespaces);
  for (const auto& [ours, hosts] : {std::pair{"sys/user/max_inotify_instances", "sys/fs/inotify/max_user_instances"},
                                    std::pair{"sys/user/max_inotify_watches", "sys/fs/inotify/max_user_watches"}})
    leave_half(proc, ours, hosts);
}

// The initial user namespace's root owns the file, so a plain user may not write it. The broker judges what memfds
// execute anyway.
void make_memory_files_data(const Fd& proc) {
  const Fd memfd(::openat(proc.get(), "sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC));
  if (memfd) (void)!::write(memfd.get(), "1", 1);
}

namespace {

// Never raises a limit of the caller.
void lower_limit(__rlimit_resource_t resource, const char* name, rlim_t most) {
  rlimit limit{};
  check(::getrlimit(resource, &limit), "getrlimit", name);
  limit.rlim_max = std::min(limit.rlim_max, most);
  limit.rlim_cur = limit.rlim_max;
  check(::setrlimit(resource, &limit), "setrlimit", name);
}

// The kernel compares the user's count with the limit of the calling process, so the agent's limit bounds the whole
// run.
void halve_limit(__rlimit_resource_t resource, const char* name) {
  rlimit limit{};
  check(::getrlimit(resource, &limit), "getrlimit", name);
  if (limit.rlim_max == RLIM_INFINITY) return;  // the user is not limited either
  limit.rlim_max /= share;
  limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
  check(::setrlimit(resource, &limit), "setrlimit", name);
}

}  // namespace

void set_process_limits(const Plan& plan) {
  // Not 0: it forbids core files only, and where core_pattern is a pipe the kernel would start the host's program with
  // this process's memory. 1 forbids that too, and no core file is that small (core(5); do_coredump).
  lower_limit(RLIMIT_CORE, "RLIMIT_CORE", std::max<rlim_t>(plan.core_size, 1));
  halve_limit(RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING");
  halve_limit(RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE");
  if (plan.open_files) lower_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", *plan.open_files);
  if (plan.limits.process_memory) lower_limit(RLIMIT_DATA, "RLIMIT_DATA", *plan.limits.process_memory);
  ::umask(plan.umask);
}

namespace {

void prove_task_limit() {
  rlimit limit{};
  check(::getrlimit(RLIMIT_NPROC, &limit), "getrlimit", "RLIMIT_NPROC");
  const rlimit one{.rlim_cur = 1, .rlim_max = limit.rlim_max};
  check(::setrlimit(RLIMIT_NPROC, &one), "setrlimit", "RLIMIT_NPROC");
  const pid_t child = ::fork();  // pid 1 and this process are more than one already
  if (child == 0) ::_exit(0);
  if (child > 0) {
    (void)retry_eintr([&] { return ::waitpid(child, nullptr, 0); });
    throw SysError(ENOTRECOVERABLE, "RLIMIT_NPROC", "is not enforced");
  }
}

}  // namespace

void set_task_limit(const Plan& plan) {
  if (!plan.limits.process_tasks) return;
  const auto promised = [](const EnforcedLimit& limit) { return limit.enforced_by == EnforcedLimit::By::rlimit; };
  if (std::ranges::any_of(plan.limits.enforced, promised)) prove_task_limit();
  lower_limit(RLIMIT_NPROC, "RLIMIT_NPROC", *plan.limits.process_tasks);
}

namespace {

bool is_planned(const Plan& plan, std::size_t resource) {
  switch (resource) {
    case RLIMIT_CORE:
      return true;
    case RLIMIT_NOFILE:
      return plan.open_files.has_value();
    case RLIMIT_DATA:
      return plan.limits.process_memory.has_value();
    case RLIMIT_NPROC:
      return plan.limits.process_tasks.has_value();
    default:
      return false;
  }
}

}  // namespace

void hand_on_limits(const Plan& plan) {
  if (!plan.inherited) return;
  for (std::size_t i = 0; i < plan.inherited->limits.size(); ++i) {
    if (is_planned(plan, i)) continue;
    const auto resource = static_cast<__rlimit_resource>(i);
    rlimit limit{};
    check(::getrlimit(resource, &limit), "getrlimit");
    const rlim_t soft = std::min(plan.inherited->limits[i].rlim_cur, limit.rlim_max);
    if (soft == limit.rlim_cur) continue;
    limit.rlim_cur = soft;
    check(::setrlimit(resource, &limit), "setrlimit");
  }
}

void close_all_from(unsigned first, std::initializer_list<int> open) {
  std::vector<int> sorted(open);
  std::ranges::sort(sorted);
  for (const int fd : sorted) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    if (static_cast<unsigned>(fd) > first) check(::close_range(first, static_cast<unsigned>(fd) - 1, 0), "close_range");
    first = static_cast<unsigned>(fd) + 1;
  }
  check(::close_range(first, UINT_MAX, 0), "close_range");
}

}  // namespace agentrun::sandbox
