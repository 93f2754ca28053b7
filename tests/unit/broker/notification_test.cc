// No call is left without an answer but for a reason.
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <future>
#include <thread>

#include <agentrun/sys/error.h>
#include "broker/notify/listener.h"
#include "broker/workers.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

/// A thread that calls mkdir(2), which somebody must answer.
class Caller {
 public:
  Caller() : thread_([this] { run(); }), listener_(Fd(filter_.get_future().get())) {
    CHECK(listener_.receive(call_) == 0);
  }
  ~Caller() { thread_.join(); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  [[nodiscard]] const Listener& listener() const { return listener_; }
  [[nodiscard]] std::uint64_t id() const { return call_.id; }
  [[nodiscard]] int answer() { return answer_.get_future().get(); }

 private:
  void run() {
    const std::array program{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog loaded{.len = program.size(), .filter = const_cast<sock_filter*>(program.data())};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    filter_.set_value(
        static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &loaded)));
    answer_.set_value(::syscall(SYS_mkdir, "/nowhere/at/all", 0700) == 0 ? 0 : errno);
  }

  std::promise<int> filter_, answer_;
  std::thread thread_;
  Listener listener_;
  seccomp_notif call_{};
};

}  // namespace

TEST_CASE("a target that waits is not taken for gone: it gets the errno") {
  Caller caller;
  Reply reply = Reply::gone(caller.listener(), caller.id(), EXFULL);
  CHECK(reply.kind() == Reply::Kind::error);
  CHECK(caller.listener().send(caller.id(), std::move(reply)) == EXFULL);
  CHECK(caller.answer() == EXFULL);
  CHECK(Reply::gone(caller.listener(), caller.id(), EXFULL).kind() == Reply::Kind::gone);
}

TEST_CASE("what nobody took over is answered with an errno") {
  CHECK(Reply::deferred(Deferral::refused(EAGAIN)).kind() == Reply::Kind::error);
  CHECK(Reply::deferred(Deferral::refused(EAGAIN)).number() == EAGAIN);
  Caller caller;
  auto& workers = *new Workers(caller.listener());  // its watcher never ends
  const Deferral taken =
      workers.start(caller.id(), {.call = [] { return Reply::error(EXFULL); }, .interruption = [] { return 0; }});
  CHECK(taken.taken());
  CHECK(Reply::deferred(taken).kind() == Reply::Kind::deferred);
  CHECK(caller.answer() == EXFULL);
}
