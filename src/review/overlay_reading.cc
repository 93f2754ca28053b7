// Gains CAP_DAC_READ_SEARCH in a user namespace, so that files that the agent made unreadable can be read.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>

#include <agentrun/review.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>

namespace agentrun::review {

namespace {

void keep_only_reading() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0].permitted = data[0].effective = 1U << CAP_DAC_READ_SEARCH;
  check(::syscall(SYS_capset, &header, data.data()), "capset");
}

void write_file(const char* path, const std::string& text) {
  const Fd file(check(::open(path, O_WRONLY | O_CLOEXEC), "open", path));
  write_all(file, text, path);
}

}  // namespace

void gain_reading() noexcept {
  if (::geteuid() == 0) return;
  try {
    const std::string uid = std::to_string(::geteuid()), gid = std::to_string(::getegid());
    check(::unshare(CLONE_NEWUSER), "unshare", "CLONE_NEWUSER");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", uid + " " + uid + " 1");
    write_file("/proc/self/gid_map", gid + " " + gid + " 1");
    keep_only_reading();
  } catch (const std::exception&) {
    return;  // unreadable files are reported then
  }
}

}  // namespace agentrun::review
