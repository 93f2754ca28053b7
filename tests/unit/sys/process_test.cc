#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>

using namespace agentrun;

TEST_CASE("an error names call, object and errno") {
  try {
    (void)read_file("/no/such/file");
    FAIL("read_file of nothing did not throw");
  } catch (const SysError& e) {
    CHECK(e.call() == "open");
    CHECK(e.object() == "/no/such/file");
    CHECK(e.error() == ENOENT);
    CHECK(std::string(e.what()) == "open /no/such/file: No such file or directory");
  }
  CHECK(errno_name(EACCES) == "EACCES");
  CHECK(errno_name(99999) == "E?");
}

TEST_CASE("read_file refuses a file over its limit") {
  CHECK_THROWS_AS((void)read_file("/dev/zero", 1000), SysError);
  CHECK_FALSE(try_read_file("/dev/zero", 1000).has_value());
}

TEST_CASE("make_directories creates missing directories and names the part that failed") {
  char scratch[] = "/tmp/agent-run-unit-XXXXXX";
  REQUIRE(::mkdtemp(scratch) != nullptr);
  const std::string base = scratch;
  make_directories(base + "/a/b/c");
  make_directories(base + "/a/b/c");
  CHECK(::access((base + "/a/b/c").c_str(), F_OK) == 0);
  Fd file(::open((base + "/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  CHECK_THROWS_AS(make_directories(base + "/f/x"), SysError);
  CHECK(std::system(("rm -rf " + base).c_str()) == 0);
}

TEST_CASE("messages carry bytes and descriptors, and end") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
  Fd left(pair[0]);
  const Fd right(pair[1]);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  send_message(left, "hello", {null.get()});
  const auto message = recv_message(right);
  REQUIRE(message.has_value());
  CHECK(message->bytes == "hello");
  REQUIRE(message->fds.size() == 1);
  CHECK((::fcntl(message->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  left.reset();
  CHECK_FALSE(recv_message(right).has_value());
}

TEST_CASE("a pidfd waits for and signals its process") {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const Fd pidfd = pidfd_open(child);
  CHECK_FALSE(pidfd_wait(pidfd, 0));
  CHECK(pidfd_signal(pidfd, SIGKILL) == 0);
  CHECK(pidfd_wait(pidfd, 5000));
  ::waitpid(child, nullptr, 0);
  CHECK(pidfd_signal(pidfd, SIGKILL) == ESRCH);
}
