#include <agentrun/sys/fd.h>
#include <doctest/doctest.h>

#include <cerrno>

using agentrun::Fd;

namespace {
bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}
Fd open_null() {
  return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}
}  // namespace

TEST_CASE("an Fd closes what it owns, once") {
  int number = -1;
  {
    const Fd fd = open_null();
    number = fd.get();
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("move assignment closes the target's old descriptor and keeps the source's") {
  Fd a = open_null();
  Fd b = open_null();
  const int old = a.get();
  const int kept = b.get();
  a = std::move(b);
  CHECK_FALSE(is_open(old));
  CHECK(a.get() == kept);
  CHECK(is_open(kept));
  CHECK_FALSE(static_cast<bool>(b));  // NOLINT(bugprone-use-after-move): the contract is tested
}

TEST_CASE("moving onto itself keeps the descriptor") {
  Fd a = open_null();
  Fd& same = a;
  a = std::move(same);
  CHECK(is_open(a.get()));
}

TEST_CASE("release gives up ownership, reset takes it, errno survives a close") {
  Fd a = open_null();
  const int number = a.release();
  CHECK_FALSE(static_cast<bool>(a));
  CHECK(is_open(number));
  a.reset(number);
  errno = ENOENT;
  a.reset();
  CHECK(errno == ENOENT);
  CHECK_FALSE(is_open(number));
}
