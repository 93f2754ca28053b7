// The bare round trip: what an open that is performed for another process costs at the least on this machine.
// A child opens and closes one path in a loop under a filter that traps openat and nothing else. The parent answers in
// one thread: receive, copy the path, openat2, inject the descriptor. No policy, no journal, no check that could be
// left out; only what no broker can do without (seccomp_unotify(2)). The child measures. usage: floor PATH [CALLS
// [ROUNDS]]
#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/kernel_abi.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "measure.h"
#include "trap.h"

using namespace agentrun;

namespace {

struct Job {
  const char* path;
  int calls;
  int rounds;
};

/// The child: hands its listener over and loops.
void open_and_close(const Job& job, const Fd& socket) {
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
  {
    const Fd listener = bench::trap(__NR_openat);
    send_message(socket, "listener", {listener.get()});
  }
  const auto figures = bench::measure(job.rounds, job.calls, [&job] {
    const long fd = check(::syscall(SYS_openat, AT_FDCWD, job.path, O_RDONLY | O_CLOEXEC), "openat", job.path);
    ::close(static_cast<int>(fd));
  });
  bench::print("floor", job.calls, figures);
}

using Path = std::array<char, PATH_MAX>;

/// A copy of the path at `address`, in pieces that do not cross a page: what follows may not be mapped.
bool copy_path(pid_t tid, std::uint64_t address, Path& path) {
  constexpr std::uint64_t page = 4096;
  for (std::size_t done = 0; done < path.size();) {
    const std::uint64_t from = address + done;
    const std::size_t piece = std::min<std::size_t>(page - from % page, path.size() - done);
    const iovec to{.iov_base = path.data() + done, .iov_len = piece};
    const iovec source{.iov_base = reinterpret_cast<void*>(from), .iov_len = piece};  // NOLINT: an address over there
    if (::process_vm_readv(tid, &to, 1, &source, 1, 0) != static_cast<ssize_t>(piece)) return false;
    if (std::memchr(path.data() + done, 0, piece) != nullptr) return true;
    done += piece;
  }
  return false;
}

void refuse(const Fd& listener, const seccomp_notif& call, int error) {
  seccomp_notif_resp reply{.id = call.id, .val = 0, .error = -error, .flags = 0};
  ::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &reply);  // ENOENT: the child is gone
}

void answer(const Fd& listener, const seccomp_notif& call) {
  Path path;  // filled by copy_path
  if (!copy_path(static_cast<pid_t>(call.pid), call.data.args[1], path)) return refuse(listener, call, EFAULT);
  const open_how how{.flags = (call.data.args[2] & 0xffffffffU) | O_CLOEXEC, .mode = 0, .resolve = 0};
  const Fd file(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.data(), &how, sizeof how)));
  if (!file) return refuse(listener, call, errno);
  seccomp_notif_addfd injected{.id = call.id,
                               .flags = SECCOMP_ADDFD_FLAG_SEND,
                               .srcfd = static_cast<__u32>(file.get()),
                               .newfd = 0,
                               .newfd_flags = O_CLOEXEC};
  ::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &injected);  // ENOENT: the child is gone
}

/// Answers until the last process under the filter is gone: then RECV gives ENOENT.
void serve(const Fd& listener) {
  // Older kernels (before 6.6) do without; the figure is then theirs.
  ::ioctl(listener.get(), abi::seccomp_ioctl_notif_set_flags, abi::seccomp_user_notif_fd_sync_wake_up);
  for (;;) {
    seccomp_notif call{};
    if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) == 0)
      answer(listener, call);
    else if (errno != EINTR)
      return;
  }
}

int run(int argc, char** argv) {
  if (argc < 2 || argv[1][0] != '/') throw Refusal("usage: floor ABSOLUTE-PATH [CALLS [ROUNDS]]");
  const Job job{.path = argv[1],
                .calls = bench::count_argument(argc, argv, 2, 10'000),
                .rounds = bench::count_argument(argc, argv, 3, 20)};
  return bench::with_child([&job](const Fd& socket) { open_and_close(job, socket); },
                           [](std::vector<Fd> fds, pid_t) { serve(fds.at(0)); });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "floor: %s\n", error.what());
    return 1;
  }
}
