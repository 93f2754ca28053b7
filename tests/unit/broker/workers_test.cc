// A call that should take no time does not hold its thread.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <string>

#include <agentrun/sys/error.h>
#include "broker/net/socket.h"
#include "broker/workers.h"
#include "fake_log.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

struct Full {  // a unix socket that listens and has no room left
  Full() : listener(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    auto* const un = reinterpret_cast<sockaddr_un*>(&address);
    un->sun_family = AF_UNIX;
    const std::string name = "agent-run-test-" + std::to_string(::getpid());
    name.copy(un->sun_path + 1, name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
    check(::listen(listener.get(), 0), "listen");
    const Fd first(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
    check(::connect(first.get(), reinterpret_cast<sockaddr*>(&address), size), "connect");
  }
  Fd listener;
  sockaddr_storage address{};
  socklen_t size = 0;
};

}  // namespace

TEST_CASE("a blocked connect is interrupted again and again, and one that does not block is left alone") {
  install_interrupt();
  const Full full;
  const Listener listener{Fd()};
  auto& workers = *new Workers(listener);  // its watcher never ends
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    const Fd socket(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    CHECK(begin_connect(AllowedCall().permit(), workers, socket, full.address, full.size) == still_waiting);
  }
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(2));
  const Fd other(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  CHECK(begin_connect(AllowedCall().permit(), workers, other, full.address, full.size) == EAGAIN);
  CHECK(workers.briefly([] { return 7; }) == 7);
}
