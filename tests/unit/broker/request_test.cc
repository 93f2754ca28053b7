#include <doctest/doctest.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/syscall.h>

#include <agentrun/sys/kernel_abi.h>
#include "broker/notify/request.h"
#include "tests/unit/broker/fake_memory.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

constexpr std::uint64_t base = 0x10000;

seccomp_notif call(int nr, const std::vector<std::uint64_t>& arguments) {
  seccomp_notif n{};
  n.id = 7;
  n.pid = 42;
  n.data.nr = nr;
  std::copy(arguments.begin(), arguments.end(), n.data.args);
  return n;
}

struct Decoded {
  int error;
  Request request;
};

Decoded decode_call(int nr, const std::vector<std::uint64_t>& arguments, const Memory& memory) {
  Decoded d;
  const filter::Row* row = filter::find(nr);
  REQUIRE(row != nullptr);
  d.error = decode(call(nr, arguments), *row, memory, d.request);
  return d;
}

std::string at(std::string bytes, std::size_t offset, std::string_view piece) {
  if (bytes.size() < offset + piece.size()) bytes.resize(offset + piece.size());
  bytes.replace(offset, piece.size(), piece);
  return bytes;
}

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

TEST_CASE("strings end at their NUL, also when the next page is unreadable") {
  const std::string page(4096 - 4, 'x');
  std::string text;
  CHECK(FakeMemory(base, page + std::string("abc\0", 4)).copy_string(base + 4092, PATH_MAX, text) == 0);
  CHECK(text == "abc");
  CHECK(FakeMemory(base, page + "abcd").copy_string(base + 4092, PATH_MAX, text) == EFAULT);
  CHECK(FakeMemory(base, std::string(8192, 'y')).copy_string(base, PATH_MAX, text) == ENAMETOOLONG);
  CHECK(FakeMemory(base, std::string(4095, 'y') + '\0').copy_string(base, PATH_MAX, text) == 0);
  CHECK(text.size() == 4095);
  CHECK(FakeMemory(base, "x").copy_string(base - 1, PATH_MAX, text) == EFAULT);
  FakeMemory gone(base, "x");
  gone.gone = true;
  CHECK(gone.copy_string(base, PATH_MAX, text) == ESRCH);
}

TEST_CASE("open and its aliases") {
  const FakeMemory memory(base, std::string("name\0", 5));
  auto d = decode_call(SYS_openat, {5, base, O_RDWR | O_CREAT, 0644, 0, 0}, memory);
  CHECK(d.error == 0);
  CHECK(d.request.name.dirfd == 5);
  CHECK(d.request.name.path == "name");
  CHECK(d.request.how.flags == (O_RDWR | O_CREAT));
  CHECK(d.request.how.mode == 0644);

  d = decode_call(SYS_open, {base, O_RDONLY, 0777, 0, 0, 0}, memory);
  CHECK(d.error == 0);
  CHECK(d.request.name.dirfd == AT_FDCWD);
  CHECK(d.request.how.mode == 0);  // without O_CREAT the mode register means nothing

  d = decode_call(SYS_creat, {base, 0600, 0, 0, 0, 0}, memory);
  CHECK(d.request.how.flags == (O_CREAT | O_WRONLY | O_TRUNC));
  CHECK(d.request.how.mode == 0600);

  SUBCASE("a dirfd is an int: the upper half of the register is the caller's noise") {
    d = decode_call(SYS_openat, {0xdeadbeef00000005, base, O_WRONLY, 0, 0, 0}, memory);
    CHECK(d.request.name.dirfd == 5);
  }
  SUBCASE("O_TMPFILE wants to write") {
    CHECK(decode_call(SYS_openat, {5, base, O_TMPFILE | O_RDONLY, 0, 0, 0}, memory).error == EINVAL);
    CHECK(decode_call(SYS_openat, {5, base, O_TMPFILE | O_RDWR, 0600, 0, 0}, memory).error == 0);
  }
}

TEST_CASE("openat2 reads its structure as the kernel does") {
  struct Row {
    const char* what;
    open_how how;
    std::size_t size;
    int error;
  };
  const Row rows[] = {
      {"plain", {.flags = O_RDONLY, .mode = 0, .resolve = 0}, sizeof(open_how), 0},
      {"too small", {}, sizeof(open_how) - 1, EINVAL},
      {"too large", {}, 5000, E2BIG},
      {"larger with zeros", {.flags = O_RDWR, .mode = 0, .resolve = RESOLVE_BENEATH}, sizeof(open_how) + 8, 0},
      {"unknown flag", {.flags = 1ULL << 40, .mode = 0, .resolve = 0}, sizeof(open_how), EINVAL},
      {"unknown resolve", {.flags = 0, .mode = 0, .resolve = 0x1000}, sizeof(open_how), EINVAL},
      {"beneath and in-root",
       {.flags = 0, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_IN_ROOT},
       sizeof(open_how),
       EINVAL},
      {"mode without creation", {.flags = O_RDWR, .mode = 0644, .resolve = 0}, sizeof(open_how), EINVAL},
      {"mode out of range", {.flags = O_RDWR | O_CREAT, .mode = 010000, .resolve = 0}, sizeof(open_how), EINVAL},
      {"O_PATH with writing", {.flags = O_PATH | O_RDWR, .mode = 0, .resolve = 0}, sizeof(open_how), EINVAL},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    std::string bytes = at(at(std::string(8192, '\0'), 0, std::string_view("f\0", 2)), 64, bytes_of(row.how));
    const FakeMemory memory(base, bytes);
    CHECK(decode_call(SYS_openat2, {static_cast<std::uint64_t>(AT_FDCWD), base, base + 64, row.size, 0, 0}, memory)
              .error == row.error);
  }
  SUBCASE("a larger structure with something behind what we know is E2BIG, not ignored") {
    std::string bytes = at(std::string(8192, '\0'), 0, "f");
    bytes = at(bytes, 64 + sizeof(open_how), "x");
    const FakeMemory memory(base, bytes);
    CHECK(decode_call(SYS_openat2, {0, base, base + 64, sizeof(open_how) + 8, 0, 0}, memory).error == E2BIG);
  }
}

TEST_CASE("names of two-name calls") {
  const FakeMemory memory(base, std::string("old\0new\0", 8));
  for (const auto& [nr, arguments] : {std::pair{SYS_rename, std::vector<std::uint64_t>{base, base + 4}},
                                      std::pair{SYS_renameat, std::vector<std::uint64_t>{3, base, 4, base + 4}},
                                      std::pair{SYS_renameat2, std::vector<std::uint64_t>{3, base, 4, base + 4, 2}},
                                      std::pair{SYS_link, std::vector<std::uint64_t>{base, base + 4}},
                                      std::pair{SYS_linkat, std::vector<std::uint64_t>{3, base, 4, base + 4, 0}}}) {
    const auto number = static_cast<int>(nr);
    CAPTURE(number);
    const auto d = decode_call(number, arguments, memory);
    CHECK(d.error == 0);
    CHECK(d.request.name.path == "old");
    CHECK(d.request.name2.path == "new");
    const bool at_form = nr != SYS_rename && nr != SYS_link;
    CHECK(d.request.name.dirfd == (at_form ? 3 : AT_FDCWD));
    CHECK(d.request.name2.dirfd == (at_form ? 4 : AT_FDCWD));
  }
  const auto s = decode_call(SYS_symlinkat, {base, 9, base + 4}, memory);
  CHECK(s.error == 0);
  CHECK(s.request.text == "old");
  CHECK(s.request.name.path == "new");
  CHECK(s.request.name.dirfd == 9);
  CHECK(decode_call(SYS_symlink, {base, base + 4}, memory).request.name.dirfd == AT_FDCWD);
}

TEST_CASE("links: which forms follow them") {
  const FakeMemory memory(base, std::string("file\0user.x\0v", 13));
  CHECK(decode_call(SYS_chown, {base, 1, 2}, memory).request.follow == Follow::yes);
  CHECK(decode_call(SYS_lchown, {base, 1, 2}, memory).request.follow == Follow::no);
  CHECK(decode_call(SYS_fchownat, {3, base, 1, 2, AT_SYMLINK_NOFOLLOW}, memory).request.follow == Follow::no);
  CHECK(decode_call(SYS_fchownat, {3, base, 1, 2, 0x40000000}, memory).error == EINVAL);
  CHECK(decode_call(SYS_lsetxattr, {base, base + 5, base + 12, 1, 0}, memory).request.follow == Follow::no);
  const auto x = decode_call(SYS_setxattr, {base, base + 5, base + 12, 1, 0}, memory);
  CHECK(x.error == 0);
  CHECK(x.request.text == "user.x");
  CHECK(x.request.value == "v");
  const auto c = decode_call(SYS_chown, {base, 11, 22}, memory);
  CHECK(c.request.uid == 11);
  CHECK(c.request.gid == 22);
}

TEST_CASE("descriptor forms and empty paths") {
  const FakeMemory memory(base, std::string("\0user.x\0", 8));
  auto d = decode_call(SYS_fchmod, {8, 0640}, memory);
  CHECK(d.error == 0);
  CHECK(d.request.descriptor);
  CHECK(d.request.fd == 8);
  CHECK(d.request.mode == 0640);
  d = decode_call(SYS_fchownat, {8, base, 1, 2, AT_EMPTY_PATH}, memory);
  CHECK(d.request.descriptor);
  CHECK(d.request.fd == 8);
  CHECK_FALSE(decode_call(SYS_fchownat, {8, base, 1, 2, 0}, memory).request.descriptor);
  d = decode_call(SYS_utimensat, {8, 0, 0, 0}, memory);
  CHECK(d.error == 0);
  CHECK(d.request.descriptor);
  CHECK_FALSE(d.request.times.has_value());
  CHECK(decode_call(SYS_utimensat, {static_cast<std::uint64_t>(AT_FDCWD), 0, 0, 0}, memory).error == EFAULT);
}

TEST_CASE("leases: the type is an int, and delegations are unknown to this kernel") {
  const FakeMemory memory(base, "");
  const auto lease = decode_call(SYS_fcntl, {8, F_SETLEASE, 0x100000000U | F_UNLCK}, memory);
  CHECK(lease.error == 0);
  CHECK(lease.request.fd == 8);
  CHECK(lease.request.lease == F_UNLCK);
  CHECK(decode_call(SYS_fcntl, {8, 0x100000000U | F_SETLEASE, F_WRLCK}, memory).request.lease == F_WRLCK);
  CHECK(decode_call(SYS_fcntl, {8, F_SETLEASE + 16, base}, memory).error == EINVAL);
}

TEST_CASE("argv is copied as far as the journal takes it, and marked as cut") {
  std::string bytes(8192, '\0');
  const std::uint64_t words[] = {base + 512, base + 516, 0};
  bytes = at(bytes, 0, std::string_view("/bin/x\0", 7));
  bytes = at(bytes, 64, std::string_view(reinterpret_cast<const char*>(words), sizeof words));
  bytes = at(bytes, 512, std::string_view("ab\0\0cd\0", 7));
  auto d = decode_call(SYS_execve, {base, base + 64, 0}, FakeMemory(base, bytes));
  CHECK(d.error == 0);
  CHECK(d.request.argv == std::vector<std::string>{"ab", "cd"});
  CHECK_FALSE(d.request.argv_cut);
  CHECK(decode_call(SYS_execve, {base, 0, 0}, FakeMemory(base, bytes)).error == 0);
  CHECK(decode_call(SYS_execve, {base, base + 100000, 0}, FakeMemory(base, bytes)).error == EFAULT);

  std::string endless(1 << 20, '\0');
  for (std::size_t i = 0; i < 1000; ++i) endless = at(std::move(endless), 4096 + i * 8, bytes_of(std::uint64_t{base}));
  endless = at(std::move(endless), 0, std::string_view("/bin/x\0", 7));
  d = decode_call(SYS_execve, {base, base + 4096, 0}, FakeMemory(base, endless));
  CHECK(d.error == 0);
  CHECK(d.request.argv_cut);
  CHECK(d.request.argv.size() <= 256);
}

TEST_CASE("socket addresses") {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(443);
  const FakeMemory memory(base, bytes_of(in));
  const auto d = decode_call(SYS_connect, {3, base, sizeof in}, memory);
  CHECK(d.error == 0);
  CHECK(d.request.address_size == sizeof in);
  CHECK(d.request.address.ss_family == AF_INET);
  CHECK(decode_call(SYS_connect, {3, base, 129}, memory).error == EINVAL);
  CHECK(decode_call(SYS_connect, {3, base, 0xffffffff}, memory).error == EINVAL);
  CHECK(decode_call(SYS_connect, {3, base + 4096, 16}, memory).error == EFAULT);
}

TEST_CASE("every trapped row decodes: none was forgotten") {
  // All pointers point to "x": each call either decodes or refuses with an errno of its own, never with EPERM, which
  // stands for "trapped, but unknown to the decoder".
  const FakeMemory memory(base, std::string("x\0", 2) + std::string(8190, '\0'));
  for (const filter::Row& row : filter::table()) {
    if (row.operation == filter::Operation::none) continue;
    CAPTURE(row.name);
    Request request;
    CHECK(decode(call(row.nr, {base, base, base, base, base, base}), row, memory, request) != EPERM);
    CHECK(request.row == &row);
    CHECK(request.tid == 42);
    CHECK(request.id == 7);
  }
}
