// The table of names that two processes share.
#include <agentrun/egress.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

using namespace agentrun;
using egress::Names;

TEST_CASE("a name gets one address of the range, which leads back to the name") {
  Names names;
  const auto address = names.address_for("github.com");
  REQUIRE(address);
  CHECK((*address & 0xFFFE'0000U) == 0xC612'0000U);
  CHECK(names.address_for("github.com") == address);
  CHECK(names.find("github.com") == address);
  CHECK(names.name_of(*address) == "github.com");
  CHECK_FALSE(names.find("gitlab.com"));
  CHECK_FALSE(names.name_of(*address + 1));
}

TEST_CASE("addresses are distinct; none looks like a network address or is the sandbox's own") {
  Names names;
  std::set<std::uint32_t> seen;
  for (std::size_t i = 0; i < Names::most; ++i) {
    const auto address = names.address_for("n" + std::to_string(i) + ".example");
    REQUIRE(address);
    REQUIRE(seen.insert(*address).second);
    REQUIRE((*address & 0xFFFE'0000U) == 0xC612'0000U);
    REQUIRE((*address >> 8) != 0xC6'1200U);  // 198.18.0.x: own_address4
    REQUIRE((*address & 0xFF) != 0);
    REQUIRE((*address & 0xFF) != 255);
  }
  CHECK_FALSE(names.address_for("one-too-many.example"));
  CHECK(names.name_of(*names.find("n16383.example")) == "n16383.example");
}

TEST_CASE("names of impossible length are refused") {
  Names names;
  CHECK_FALSE(names.address_for(""));
  CHECK_FALSE(names.address_for(std::string(254, 'a')));
  const std::string longest(253, 'a');
  CHECK(names.name_of(*names.address_for(longest)) == longest);
}

TEST_CASE("addresses without a name") {
  Names names;
  REQUIRE(names.address_for("a.example"));
  for (const std::uint32_t address :
       {0U, 0xC612'0001U, 0xC612'0100U, 0xC612'01FFU, 0xC613'FFFFU, 0xC614'0101U, 0x7F00'0001U, ~0U}) {
    CHECK_FALSE(names.name_of(address));
  }
}

TEST_CASE("a process forked earlier sees later names") {
  Names names;
  int gate[2];
  REQUIRE(::pipe(gate) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    if (::read(gate[0], &byte, 1) != 1) ::_exit(2);
    ::_exit(names.name_of(0xC612'0101U) == "late.example" ? 0 : 1);
  }
  CHECK(names.address_for("late.example") == 0xC612'0101U);
  CHECK(::write(gate[1], "x", 1) == 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  ::close(gate[0]);
  ::close(gate[1]);
}
