#include <agentrun/filter.h>
#include <asm/unistd_64.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

using namespace agentrun::filter;

namespace {

using Names = std::set<std::string_view>;

bool is_trapped(const Row& row) {
  return row.disposition == Disposition::trap || row.disposition == Disposition::trap_opens ||
         row.disposition == Disposition::trap_leases;
}

Names names_of(Operation operation) {
  Names names;
  for (const Row& row : table())
    if (row.operation == operation) names.insert(row.name);
  return names;
}

Names names_of(Disposition disposition) {
  Names names;
  for (const Row& row : table())
    if (row.disposition == disposition) names.insert(row.name);
  return names;
}

const Row& row(std::string_view name) {
  const auto found = std::ranges::find(table(), name, &Row::name);
  REQUIRE_MESSAGE(found != table().end(), name);
  return *found;
}

}  // namespace

TEST_CASE("the table has every number of 0-335 and 424-469, once, in order, and no other") {
  std::vector<int> expected;
  for (int nr = 0; nr <= 335; ++nr) expected.push_back(nr);
  for (int nr = 424; nr <= 469; ++nr) expected.push_back(nr);
  std::vector<int> numbers;
  for (const Row& entry : table()) numbers.push_back(entry.nr);
  CHECK(numbers == expected);
}

TEST_CASE("no name is in the table twice") {
  Names names;
  for (const Row& entry : table()) CHECK_MESSAGE(names.insert(entry.name).second, entry.name);
}

TEST_CASE("find returns the row of a number, and null for an unknown one") {
  for (const Row& entry : table()) CHECK(find(entry.nr) == &entry);
  for (const int nr : {-1, 336, 423, 470, 512, 547, 0x40000000, 0x40000101}) CHECK(find(nr) == nullptr);
  REQUIRE(find(__NR_openat) != nullptr);
  CHECK(find(__NR_openat)->name == "openat");
}

TEST_CASE("every alias of every trapped operation") {
  const std::map<Operation, Names> families = {
      {Operation::open, {"open", "openat", "creat"}},
      {Operation::openat2, {"openat2"}},
      {Operation::unlink, {"unlink", "rmdir", "unlinkat"}},
      {Operation::rename, {"rename", "renameat", "renameat2"}},
      {Operation::link, {"link", "linkat"}},
      {Operation::symlink, {"symlink", "symlinkat"}},
      {Operation::mkdir, {"mkdir", "mkdirat"}},
      {Operation::mknod, {"mknod", "mknodat"}},
      {Operation::chmod, {"chmod", "fchmodat", "fchmodat2"}},
      {Operation::chown, {"chown", "lchown", "fchownat"}},
      {Operation::truncate, {"truncate"}},
      {Operation::utimes, {"utime", "utimes", "futimesat", "utimensat"}},
      {Operation::setxattr, {"setxattr", "lsetxattr", "setxattrat"}},
      {Operation::removexattr, {"removexattr", "lremovexattr", "removexattrat"}},
      {Operation::fchmod, {"fchmod"}},
      {Operation::fchown, {"fchown"}},
      {Operation::fsetxattr, {"fsetxattr"}},
      {Operation::fremovexattr, {"fremovexattr"}},
      {Operation::lease, {"fcntl"}},
      {Operation::execute, {"execve", "execveat"}},
      {Operation::connect, {"connect"}},
      {Operation::bind, {"bind"}},
  };
  std::size_t trapped = 0;
  for (const auto& family : families) {
    const auto& [operation, names] = family;
    INFO(name(family.first));
    CHECK(names_of(operation) == names);
    trapped += names.size();
  }
  CHECK(std::ranges::count_if(table(), is_trapped) == static_cast<std::ptrdiff_t>(trapped));
}

TEST_CASE("a row is trapped if and only if it has an operation, a class and an object") {
  for (const Row& entry : table()) {
    INFO(entry.name);
    CHECK(is_trapped(entry) == (entry.operation != Operation::none));
    CHECK(is_trapped(entry) == (entry.journal_class != Class::none));
    CHECK(is_trapped(entry) == (entry.arguments.path >= 0 || entry.arguments.fd >= 0));
  }
  CHECK(names_of(Disposition::trap_opens) == Names{"open", "openat"});
  CHECK(names_of(Disposition::trap_leases) == Names{"fcntl"});
}

TEST_CASE("the journal's classes") {
  CHECK(row("openat").journal_class == Class::open);
  CHECK(row("openat2").journal_class == Class::open);
  CHECK(row("fremovexattr").journal_class == Class::change);
  CHECK(row("truncate").journal_class == Class::change);
  CHECK(row("execveat").journal_class == Class::exec);
  CHECK(row("connect").journal_class == Class::connect);
  CHECK(row("bind").journal_class == Class::change);
}

TEST_CASE("calls whose trap would break programs are never trapped (design.md §4.1)") {
  for (const std::string_view call :
       {"close", "dup", "dup2", "dup3", "fork", "vfork", "wait4", "waitid", "futex", "read", "write", "rt_sigaction",
        "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend"})
    CHECK_MESSAGE(row(call).disposition == Disposition::allow, call);
}

TEST_CASE("at-forms have their descriptor right before their path, and two-path forms have both") {
  for (const Row& entry : table()) {
    INFO(entry.name);
    const Arguments& at = entry.arguments;
    if (at.dirfd >= 0) CHECK(at.path == at.dirfd + 1);
    if (at.dirfd2 >= 0) CHECK(at.path2 == at.dirfd2 + 1);
    const bool two = entry.operation == Operation::rename || entry.operation == Operation::link ||
                     entry.operation == Operation::symlink;
    CHECK(two == (at.path2 >= 0));
    const bool by_name = entry.name.ends_with("at") || entry.name.ends_with("at2");
    if (is_trapped(entry) && by_name && entry.name != "creat") CHECK((at.dirfd >= 0 || at.dirfd2 >= 0));
  }
}

TEST_CASE("argument registers of calls that are easily confused") {
  CHECK(row("open").arguments.flags == 1);
  CHECK(row("openat").arguments.flags == 2);
  CHECK(row("creat").arguments.flags == -1);
  CHECK(row("creat").arguments.mode == 1);
  CHECK(row("fchmodat").arguments.flags == -1);
  CHECK(row("fchmodat2").arguments.flags == 3);
  CHECK(row("fchownat").arguments.flags == 4);
  CHECK(row("linkat").arguments.flags == 4);
  CHECK(row("symlink").arguments.path == 0);  // the text
  CHECK(row("symlink").arguments.path2 == 1);
  CHECK(row("symlinkat").arguments.dirfd == -1);
  CHECK(row("symlinkat").arguments.dirfd2 == 1);
  CHECK(row("symlinkat").arguments.path2 == 2);
  CHECK(row("setxattrat").arguments.flags == 2);
  CHECK(row("connect").arguments.fd == 0);
}

TEST_CASE("every enumerator has its own name") {
  Names words;
  for (int i = 0; i <= static_cast<int>(Operation::bind); ++i) words.insert(name(static_cast<Operation>(i)));
  CHECK(words.size() == static_cast<std::size_t>(Operation::bind) + 1);
  CHECK(name(Operation::fremovexattr) == "fremovexattr");
  CHECK(name(Operation::connect) == "connect");
  CHECK(name(Disposition::trap_opens) == "trap_opens");
  CHECK(name(Disposition::trap_leases) == "trap_leases");
  CHECK(name(Operation::lease) == "lease");
  CHECK(name(Disposition::checked) == "checked");
  CHECK(name(Class::connect) == "connect");
  CHECK(name(static_cast<Operation>(200)) == "?");
}
