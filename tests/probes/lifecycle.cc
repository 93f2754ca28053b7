// L7, L8: reaching the processes that hold the sandbox, and what was left open. Arguments: pid=a process outside the
// agent's own tree (inside: 1, or the supervisor's number on the host), count=how many.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <string>
#include <vector>

#include <agentrun/sys/fd.h>

#include "probe.h"

namespace {

using agentrun::Fd;
using probe::Arguments;
using probe::Outcome;

pid_t target(const Arguments& a) {
  return static_cast<pid_t>(a.number("pid", 1));
}

Outcome signal_zero(const Arguments& a) {
  return probe::from(kill(target(a), 0));
}
Outcome signal_stop(const Arguments& a) {
  return probe::from(kill(target(a), SIGSTOP));
}
Outcome signal_kill(const Arguments& a) {
  return probe::from(kill(target(a), SIGKILL));
}
Outcome pidfd_open_it(const Arguments& a) {
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, target(a), 0)));
  return probe::from(pidfd ? 0 : -1);
}
Outcome seize(const Arguments& a) {
  const long result = ptrace(PTRACE_SEIZE, target(a), nullptr, nullptr);
  const Outcome outcome = probe::from(result);
  if (result == 0) ptrace(PTRACE_DETACH, target(a), nullptr, nullptr);
  return outcome;
}
Outcome read_memory(const Arguments& a) {
  const Fd fd(open(("/proc/" + std::to_string(target(a)) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  return probe::from(fd ? 0 : -1);
}
Outcome limits_of(const Arguments& a) {
  rlimit limit{};
  return probe::from(prlimit(target(a), RLIMIT_NOFILE, nullptr, &limit));
}
Outcome renice(const Arguments& a) {
  return probe::from(setpriority(PRIO_PROCESS, static_cast<id_t>(target(a)), 10));
}
Outcome affinity(const Arguments& a) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  return probe::from(sched_setaffinity(target(a), sizeof set, &set));
}

const std::array reach{
    probe::Act{"signal-zero", signal_zero}, probe::Act{"pidfd-open", pidfd_open_it}, probe::Act{"seize", seize},
    probe::Act{"proc-mem", read_memory},    probe::Act{"prlimit", limits_of},        probe::Act{"renice", renice},
    probe::Act{"affinity", affinity},       probe::Act{"stop", signal_stop},         probe::Act{"kill", signal_kill},
};

/// ok when a process that is neither this one, nor its parent, nor pid 1 shows in /proc.
Outcome others_visible(const Arguments&) {
  DIR* stream = opendir("/proc");
  if (stream == nullptr) return probe::from(-1);
  std::string seen;
  while (const dirent* entry = readdir(stream)) {
    const long pid = std::strtol(entry->d_name, nullptr, 10);
    if (pid > 1 && pid != getpid() && pid != getppid()) seen += std::string(entry->d_name) + " ";
  }
  closedir(stream);
  return probe::effect(!seen.empty(), ENOENT, seen.substr(0, 200));
}
/// ok when another process than our own can be signalled. With signal 0: the reach, without the harm.
Outcome everyone(const Arguments& a) {
  signal(SIGTERM, SIG_IGN);
  return probe::from(kill(-1, static_cast<int>(a.number("signal", 0))));
}
const std::array all{probe::Act{"others-visible", others_visible}, probe::Act{"everyone", everyone}};

/// ok when a descriptor above 2 is open, but for the one that looks and the probe's own pipe.
Outcome inherited(const Arguments&) {
  DIR* stream = opendir("/proc/self/fd");
  if (stream == nullptr) return probe::from(-1);
  std::string seen;
  while (const dirent* entry = readdir(stream)) {
    const int fd = static_cast<int>(std::strtol(entry->d_name, nullptr, 10));
    if (fd < 3 || fd == dirfd(stream) || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) continue;
    std::array<char, PATH_MAX> path{};
    if (readlink(("/proc/self/fd/" + std::string(entry->d_name)).c_str(), path.data(), path.size() - 1) < 0) continue;
    seen += std::string(entry->d_name) + "=" + path.data() + " ";
  }
  closedir(stream);
  return probe::effect(!seen.empty(), ENOENT, seen.substr(0, 400));
}
const std::array descriptors{probe::Act{"inherited", inherited}};

/// A fork bomb within a bound: `count` processes at once, each of which tries to outlive the run.
Outcome fork_bomb(const Arguments& a) {
  const long wanted = a.number("count", 300);
  long made = 0;
  for (; made < wanted; ++made) {
    const pid_t child = fork();
    if (child < 0) break;
    if (child > 0) continue;
    close_range(3, ~0U, 0);  // the report's pipe ends with the act, not with these
    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (int i = 0; i < 300; ++i) usleep(100'000);
    _exit(0);
  }
  return probe::effect(made == wanted, EAGAIN, "made " + std::to_string(made));
}
const std::array bomb{probe::Act{"fork-bomb", fork_bomb}};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{
      probe::Group{"reach", reach},
      probe::Group{"all", all},
      probe::Group{"descriptors", descriptors},
      probe::Group{"bomb", bomb},
  };
  return probe::run_main(groups, argc, argv);
}
