#include "sandbox/limits.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <vector>

namespace agentrun::sandbox {

void set_kernel_limits(const Fd& proc) {
  const char* const namespaces = "sys/user/max_user_namespaces";
  const Fd file(check(::openat(proc.get(), namespaces, O_WRONLY | O_CLOEXEC), "openat", namespaces));
  write_all(file, "0", namespaces);
  // Owned by the first namespace's root: a plain user may not write it. What memfds execute is the broker's to judge.
  const Fd memfd(::openat(proc.get(), "sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC));
  if (memfd) (void)!::write(memfd.get(), "1", 1);
}

void set_process_limits(const Plan& plan) {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  check(::setrlimit(RLIMIT_CORE, &no_core), "setrlimit", "RLIMIT_CORE");
  if (plan.open_files) {
    rlimit files{};
    check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit", "RLIMIT_NOFILE");
    files.rlim_max = std::min<rlim_t>(files.rlim_max, *plan.open_files);
    files.rlim_cur = files.rlim_max;
    check(::setrlimit(RLIMIT_NOFILE, &files), "setrlimit", "RLIMIT_NOFILE");
  }
  ::umask(plan.umask);
}

void close_all_from(unsigned first, std::initializer_list<int> keep) {
  std::vector<int> kept(keep);
  std::ranges::sort(kept);
  for (const int fd : kept) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    if (static_cast<unsigned>(fd) > first) check(::close_range(first, static_cast<unsigned>(fd) - 1, 0), "close_range");
    first = static_cast<unsigned>(fd) + 1;
  }
  check(::close_range(first, UINT_MAX, 0), "close_range");
}

}  // namespace agentrun::sandbox
