// L1: a host that lacks something. `without CALL=ERRNO… -- COMMAND…` runs the command under a filter that answers these
// calls with these errors, as an old kernel or a container's filter does. A name with a colon is a call with a flag:
// "unshare:user=EPERM". The word "listener" gives the filter a listener, as another supervisor would have.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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
// Calls of which only those with a flag in an argument (its low 32 bits) are refused: Docker's default filter.
struct Flagged {
  std::string_view name;
  int number, argument;
  unsigned flag;
};
constexpr std::array flagged{
    Flagged{"unshare:user", SYS_unshare, 0, CLONE_NEWUSER},
    Flagged{"clone:user", SYS_clone, 0, CLONE_NEWUSER},
    Flagged{"seccomp:listener", SYS_seccomp, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER},
};
constexpr std::array errors{
    Named{"ENOSYS", ENOSYS}, Named{"EPERM", EPERM},   Named{"EINVAL", EINVAL}, Named{"ENOSPC", ENOSPC},
    Named{"EACCES", EACCES}, Named{"EMFILE", EMFILE}, Named{"EBUSY", EBUSY},   Named{"EOPNOTSUPP", EOPNOTSUPP},
};

template <std::size_t N>
int value_of(const std::array<Named, N>& table, std::string_view name) {
  for (const Named& row : table)
    if (row.name == name) return row.value;
  throw std::invalid_argument("unknown: " + std::string(name));
}

void add_flagged(std::vector<sock_filter>& program, const Flagged& part, int error) {
  const auto argument = static_cast<unsigned>(offsetof(seccomp_data, args) + 8U * static_cast<unsigned>(part.argument));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(part.number), 0, 4));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, part.flag, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
}

void add_rule(std::vector<sock_filter>& program, std::string_view word) {
  const auto equals = word.find('=');
  if (equals == std::string_view::npos) throw std::invalid_argument("not CALL=ERRNO: " + std::string(word));
  const int error = value_of(errors, word.substr(equals + 1));
  const auto* const part =
      std::find_if(flagged.begin(), flagged.end(), [&](const Flagged& f) { return f.name == word.substr(0, equals); });
  if (part != flagged.end()) return add_flagged(program, *part, error);
  const int number = value_of(calls, word.substr(0, equals));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  int next = 1;
  unsigned flags = 0;
  for (; next < argc && std::string_view(argv[next]) != "--"; ++next) {
    if (std::string_view(argv[next]) == "listener")
      flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    else
      add_rule(program, argv[next]);
  }
  if (next + 1 >= argc) throw std::invalid_argument("usage: without CALL=ERRNO… -- COMMAND…");
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 2;
  const long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (listener < 0) {
    std::perror("without: seccomp");
    return 2;
  }
  if (flags != 0) fcntl(static_cast<int>(listener), F_SETFD, 0);  // open for as long as the command lives
  execvp(argv[next + 1], argv + next + 1);
  std::perror("without: exec");
  return 2;
} catch (const std::exception& failure) {
  std::fprintf(stderr, "without: %s\n", failure.what());
  return 2;
}
