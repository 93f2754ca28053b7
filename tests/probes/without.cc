// L1: a host that lacks something. `without CALL=ERRNO… -- COMMAND…` runs the command under a filter that answers these
// calls with these errors, as an old kernel or a container's filter does.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Named {
  std::string_view name;
  int value;
};
constexpr std::array calls{
    Named{"landlock_create_ruleset", SYS_landlock_create_ruleset},
    Named{"landlock_restrict_self", SYS_landlock_restrict_self},
    Named{"seccomp", SYS_seccomp},
    Named{"clone3", SYS_clone3},
    Named{"unshare", SYS_unshare},
    Named{"setns", SYS_setns},
    Named{"mount_setattr", SYS_mount_setattr},
    Named{"open_tree", SYS_open_tree},
    Named{"move_mount", SYS_move_mount},
    Named{"fsopen", SYS_fsopen},
    Named{"mount", SYS_mount},
    Named{"umount2", SYS_umount2},
    Named{"pivot_root", SYS_pivot_root},
    Named{"pidfd_getfd", SYS_pidfd_getfd},
    Named{"pidfd_open", SYS_pidfd_open},
    Named{"process_vm_readv", SYS_process_vm_readv},
    Named{"openat2", SYS_openat2},
    Named{"capset", SYS_capset},
    Named{"close_range", SYS_close_range},
    Named{"socket", SYS_socket},
    Named{"setrlimit", SYS_setrlimit},
    Named{"prlimit64", SYS_prlimit64},
};
constexpr std::array errors{
    Named{"ENOSYS", ENOSYS}, Named{"EPERM", EPERM},   Named{"EINVAL", EINVAL},
    Named{"ENOSPC", ENOSPC}, Named{"EACCES", EACCES}, Named{"EMFILE", EMFILE},
};

template <std::size_t N>
int value_of(const std::array<Named, N>& table, std::string_view name) {
  for (const Named& row : table)
    if (row.name == name) return row.value;
  throw std::invalid_argument("unknown: " + std::string(name));
}

void add_rule(std::vector<sock_filter>& program, std::string_view word) {
  const auto equals = word.find('=');
  if (equals == std::string_view::npos) throw std::invalid_argument("not CALL=ERRNO: " + std::string(word));
  const int number = value_of(calls, word.substr(0, equals)), error = value_of(errors, word.substr(equals + 1));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  int next = 1;
  for (; next < argc && std::string_view(argv[next]) != "--"; ++next) add_rule(program, argv[next]);
  if (next + 1 >= argc) throw std::invalid_argument("usage: without CALL=ERRNO… -- COMMAND…");
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    std::perror("without: seccomp");
    return 2;
  }
  execvp(argv[next + 1], argv + next + 1);
  std::perror("without: exec");
  return 2;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "without: %s\n", failure.what());
  return 2;
}
