// Who runs what: claims of execve are known by what dies with their caller, and executions by what only the kernel
// writes.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <latch>
#include <string>
#include <thread>

#include <agentrun/sys/error.h>
#include "broker/exec/verified.h"
#include "broker/task/task.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

Fd host_proc() {
  return Fd(check(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "/proc"));
}

Task task_of(const Fd& proc, pid_t tid, pid_t pid, const std::string& exe = "/before") {
  Task task;
  task.tid = tid;
  task.pid = pid;
  task.exe = exe;
  task.proc.reset(
      check(::openat(proc.get(), std::to_string(tid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open", "task"));
  return task;
}

pid_t own_tid() {
  return static_cast<pid_t>(::syscall(SYS_gettid));
}

/// A thread that lives as long as this.
class Waiting {
 public:
  Waiting()
      : thread_([this] {
          tid_ = own_tid();
          there_.count_down();
          go_.wait();
        }) {
    there_.wait();
  }
  ~Waiting() {
    go_.count_down();
    thread_.join();
    // join() comes with the thread's own word; its number is free a moment later.
    const std::string task = "/proc/self/task/" + std::to_string(tid_);
    while (::access(task.c_str(), F_OK) == 0) std::this_thread::yield();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  [[nodiscard]] pid_t tid() const { return tid_; }

 private:
  pid_t tid_ = 0;
  std::latch there_{1}, go_{1};
  std::thread thread_;
};

constexpr int told_by = 9;  // the descriptor by which a child says that it is there

/// A child that does `act` and waits to be ended.
class Child {
 public:
  template <typename Act>
  explicit Child(Act act) {
    std::array<int, 2> ends{};
    check(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
    ready_.reset(ends[0]);
    const Fd tell(ends[1]);
    pid_ = check(::fork(), "fork");
    if (pid_ != 0) return;
    ::dup2(tell.get(), told_by);
    act();
    (void)::write(told_by, "x", 1);
    for (;;) ::pause();
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits until it has done its act, or the image that it executed runs.
  void await() const {
    char byte = 0;
    (void)::read(ready_.get(), &byte, 1);
  }

 private:
  Fd ready_;
  pid_t pid_ = -1;
};

void execute() {
  ::execl("/bin/sh", "sh", "-c", "echo x >&9; kill -STOP $$", nullptr);
}

}  // namespace

TEST_CASE("a claim is taken by its thread, and by no other while that thread lives") {
  const Fd proc = host_proc();
  ExecClaims claims;
  const pid_t self = ::getpid();
  const Waiting other;
  CHECK(claims.take(task_of(proc, self, self), proc.get()).empty());
  REQUIRE(claims.put(task_of(proc, other.tid(), self), "/image", proc.get()) == 0);
  const auto epoch = claims.epoch();
  CHECK(claims.take(task_of(proc, self, self), proc.get()).empty());
  CHECK(claims.epoch() == epoch);
  const auto taken = claims.take(task_of(proc, other.tid(), self), proc.get());
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].path == "/image");
  CHECK(taken[0].before == "/before");
  CHECK(claims.epoch() == epoch + 1);
  CHECK(claims.take(task_of(proc, other.tid(), self), proc.get()).empty());
}

TEST_CASE("the claim of a dead thread is not lost if its number is reused") {
  const Fd proc = host_proc();
  ExecClaims claims;
  const pid_t self = ::getpid();
  Task gone;
  {
    const Waiting caller;
    gone = task_of(proc, caller.tid(), self);
  }
  const Waiting namesake;
  gone.tid = namesake.tid();  // as after 32,768 others
  REQUIRE(claims.put(gone, "/image", proc.get()) == 0);
  CHECK(claims.take(task_of(proc, self, self), proc.get()).size() == 1);
  REQUIRE(claims.put(gone, "/image", proc.get()) == 0);
  CHECK(claims.take(task_of(proc, namesake.tid(), self), proc.get()).size() == 1);
}

TEST_CASE("claims of threads are independent: a thread whose execve failed takes no other claim") {
  const Fd proc = host_proc();
  ExecClaims claims;
  const pid_t self = ::getpid();
  const Waiting first, second;
  REQUIRE(claims.put(task_of(proc, first.tid(), self), "/one", proc.get()) == 0);
  REQUIRE(claims.put(task_of(proc, second.tid(), self), "/two", proc.get()) == 0);
  auto taken = claims.take(task_of(proc, second.tid(), self), proc.get());
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].path == "/two");
  taken = claims.take(task_of(proc, first.tid(), self), proc.get());
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].path == "/one");
}

TEST_CASE("a claim does not pass to a process that reuses the number, and claims of dead processes are dropped") {
  const Fd proc = host_proc();
  ExecClaims claims;
  const pid_t self = ::getpid();
  Task of_another;
  {
    const Child child([] {});
    of_another = task_of(proc, child.pid(), child.pid());
    REQUIRE(claims.put(of_another, "/image", proc.get()) == 0);
  }
  CHECK(claims.take(of_another, proc.get()).size() == 1);  // nobody is there: nothing speaks against it
  for (int i = 0; i < 2000; ++i) {
    Task dead;
    dead.tid = dead.pid = 1'000'000'000 + i;
    dead.proc.reset(::fcntl(of_another.proc.get(), F_DUPFD_CLOEXEC, 0));
    REQUIRE(claims.put(dead, "/image", proc.get()) == 0);
    if (i != 1999) continue;
    int open = 0;
    for (int fd = 0; fd < 4096; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    CHECK(open < 600);
  }
  CHECK(claims.take(task_of(proc, self, self), proc.get()).empty());
}

TEST_CASE("a claim is refused when no descriptor is left") {
  const Fd proc = host_proc();
  ExecClaims claims;
  Task task;
  task.tid = task.pid = ::getpid();  // its directory cannot be duplicated
  CHECK(claims.put(task, "/image", proc.get()) == EAGAIN);
  CHECK(claims.take(task_of(proc, task.pid, task.pid), proc.get()).empty());
}

TEST_CASE("forks and threads keep an execution, and only execve changes it") {
  const Fd proc = host_proc();
  const auto execution = [&](pid_t tid, pid_t pid) { return execution_of(task_of(proc, tid, pid)); };
  const pid_t self = ::getpid();
  const auto own = execution(self, self);
  REQUIRE(own);
  {
    const Waiting thread;
    CHECK(execution(thread.tid(), self) == own);
  }
  const Child forked([] {}), executed(execute), again(execute);
  for (const Child* child : {&forked, &executed, &again}) child->await();
  CHECK(execution(forked.pid(), forked.pid()) == own);
  const auto one = execution(executed.pid(), executed.pid()), two = execution(again.pid(), again.pid());
  REQUIRE((one && two));
  CHECK(one != own);
  CHECK(one != two);
  CHECK(Tasks::has_random_layout(task_of(proc, self, self)));
  CHECK(Tasks::has_random_layout(task_of(proc, executed.pid(), executed.pid())));
}

TEST_CASE("a program cannot take another's execution") {
  const Fd proc = host_proc();
  const pid_t self = ::getpid();
  const auto own = execution_of(task_of(proc, self, self));
  const Child forger([] { std::memset(reinterpret_cast<void*>(::getauxval(AT_RANDOM)), 7, 16); });
  forger.await();
  CHECK(execution_of(task_of(proc, forger.pid(), forger.pid())) == own);  // a fork of ours, whatever it wrote
}

TEST_CASE("a layout that is not random identifies no execution") {
  const Fd proc = host_proc();
  const auto fixed = [] {
    ::personality(ADDR_NO_RANDOMIZE);
    execute();
  };
  const Child one(fixed), two(fixed);
  for (const Child* child : {&one, &two}) {
    child->await();
    CHECK_FALSE(Tasks::has_random_layout(task_of(proc, child->pid(), child->pid())));
  }
  CHECK(execution_of(task_of(proc, one.pid(), one.pid())) == execution_of(task_of(proc, two.pid(), two.pid())));
}
