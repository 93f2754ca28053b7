// The bare relay: what a connection that is made for another process costs at the least on this machine, when
// connect(2) is answered only after the other side has. The command runs in a network namespace whose connections are
// redirected to a relay, under a filter that traps connect and nothing else. One thread does all: receive, copy the
// address, take the socket, dial, connect the socket, accept, and copy what is said. No policy, no name, no journal, no
// other process.
//   relay-floor COMMAND…   one process, that connects by IPv4; needs nft(8), ip(8) and the right to make a network
//   namespace
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/kernel_abi.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/service.h>
#include "trap.h"

using namespace agentrun;

namespace {

constexpr std::uint16_t relay_port = 9999;
constexpr const char* set_up =
    "ip link set lo up && ip addr add 198.18.0.1/32 dev lo && ip route add default dev lo src 198.18.0.1 && "
    "nft 'table ip floor { chain out { type nat hook output priority -100; ip daddr != 127.0.0.0/8 ip protocol tcp "
    "redirect to :9999; }; }'";
constexpr std::size_t buffer_size = 256 * 1024;

/// The child: hands over where its connections arrive and where its calls are heard, and becomes the command.
void become(char** command, const Fd& socket) {
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
  check(::unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET");
  if (std::system(set_up) != 0) throw Refusal("the network namespace could not be set up");
  {
    const Fd listener(check(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(relay_port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), "bind");
    check(::listen(listener.get(), SOMAXCONN), "listen");
    const Fd calls = bench::trap(__NR_connect);
    send_message(socket, "both", {listener.get(), calls.get()});
  }
  ::execvp(command[0], command);
  throw_errno("execvp", command[0]);
}

struct Flow;
struct End {
  Flow* flow = nullptr;
  Fd socket;
  bool ended = false;
};
struct Flow {
  End agent{.flow = this}, outside{.flow = this};
};

class Floor {
 public:
  Floor(Fd listener, Fd calls, pid_t child)
      : listener_(std::move(listener)),
        calls_(std::move(calls)),
        process_(static_cast<int>(check(::syscall(SYS_pidfd_open, child, 0), "pidfd_open"))),
        epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        buffer_(buffer_size) {
    // Older kernels (before 6.6) do without; the figure is then theirs.
    ::ioctl(calls_.get(), abi::seccomp_ioctl_notif_set_flags, abi::seccomp_user_notif_fd_sync_wake_up);
    watch(calls_, nullptr);
  }

  /// Until the last process under the filter is gone.
  void serve() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        auto* const end = static_cast<End*>(event.data.ptr);
        if (end != nullptr)
          pump(*end);
        else if ((event.events & EPOLLIN) != 0)
          answer();
        else
          return;
      }
      over_.clear();
    }
  }

 private:
  void watch(const Fd& fd, End* end) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = end}};
    check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event), "epoll_ctl");
  }

  void reply(const seccomp_notif& call, int error, std::uint32_t flags = 0) {
    seccomp_notif_resp said{.id = call.id, .val = 0, .error = -error, .flags = flags};
    ::ioctl(calls_.get(), SECCOMP_IOCTL_NOTIF_SEND, &said);  // ENOENT: the caller is gone
  }

  void answer() {
    seccomp_notif call{};
    if (::ioctl(calls_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;
    sockaddr_in to{};
    const iovec copy{.iov_base = &to, .iov_len = sizeof to};
    const iovec source{.iov_base = reinterpret_cast<void*>(call.data.args[1]),
                       .iov_len = sizeof to};  // NOLINT: an address over there
    const bool whole = ::process_vm_readv(static_cast<pid_t>(call.pid), &copy, 1, &source, 1, 0) == sizeof to;
    // Of what is no connection by IPv4 (nscd's socket) the kernel's answer is as good.
    if (!whole || to.sin_family != AF_INET) return reply(call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    reply(call, connect(static_cast<int>(call.data.args[0]), to));
    relay();
  }

  int connect(int number, const sockaddr_in& to) {
    const Fd theirs(static_cast<int>(::syscall(SYS_pidfd_getfd, process_.get(), number, 0)));
    if (!theirs) return errno;
    const auto* const address = reinterpret_cast<const sockaddr*>(&to);
    dialed_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!dialed_ || ::connect(dialed_.get(), address, sizeof to) != 0) return errno;
    return ::connect(theirs.get(), address, sizeof to) == 0 ? 0 : errno;
  }

  void relay() {
    Fd accepted(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));  // blocks when it is sent to: nothing is lost
    if (!accepted) return;
    auto* const flow = new Flow;  // until both its ends have ended
    flow->agent.socket = std::move(accepted);
    flow->outside.socket = std::move(dialed_);
    for (End* end : {&flow->agent, &flow->outside}) {
      const int on = 1;
      ::setsockopt(end->socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(end->socket, end);
    }
  }

  void pump(End& from) {
    End& to = &from == &from.flow->agent ? from.flow->outside : from.flow->agent;
    if (from.ended) return;
    const ssize_t n = ::recv(from.socket.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) {
      ::send(to.socket.get(), buffer_.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
      return;
    }
    from.ended = true;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, from.socket.get(), nullptr);
    if (to.ended)
      over_.emplace_back(from.flow);  // the other end's event may be in this round still
    else
      ::shutdown(to.socket.get(), SHUT_WR);
  }

  Fd listener_, calls_, process_, epoll_, dialed_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<Flow>> over_;
};

int run(int argc, char** argv) {
  if (argc < 2) throw Refusal("usage: relay-floor COMMAND…");
  return bench::with_child(
      [argv](const Fd& socket) { become(argv + 1, socket); },
      [](std::vector<Fd> fds, pid_t child) { Floor(std::move(fds.at(0)), std::move(fds.at(1)), child).serve(); });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "relay-floor: %s\n", error.what());
    return 1;
  }
}
