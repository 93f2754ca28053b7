// Names and identities of what is on the host: helper programs, objects, the directories that agents could write.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include <agentrun/sys/error.h>

#include "supervisor/host/helper_programs.h"
#include "supervisor/host/helper_trust.h"
#include "supervisor/host/host_paths.h"
#include "supervisor/state/agent_writable_dirs.h"
#include "supervisor/state/object_id.h"
#include "tests/unit/supervisor/scratch_directory.h"

using namespace agentrun::supervisor;
using test::ScratchDirectory;

TEST_CASE("helper programs are beside agent-run or in libexec, whatever the environment says") {
  const std::vector<std::string> places = helper_places("/opt/agent-run/bin/agent-run");
  CHECK(std::ranges::find(places, "/opt/agent-run/bin/agent-run-nft") != places.end());
  CHECK(std::ranges::find(places, "/opt/agent-run/bin/agent-run-sink") != places.end());
  CHECK(places.size() == 4);
  for (const std::string& place : places) {
    CHECK(place.starts_with('/'));
    CHECK(place.find("..") == std::string::npos);
  }
}

TEST_CASE("a helper program is named without links, and refused if others can replace it or a directory above it") {
  const ScratchDirectory scratch;
  namespace fs = std::filesystem;
  const std::string program = scratch.file("bin/agent-run"), helper = scratch.file("real/libexec/agent-run-nft");
  fs::create_symlink("real/./libexec", scratch / "libexec");
  fs::create_symlink("../libexec/../other", scratch / "bin/linked");
  CHECK(trusted_helper(helper, program) == helper);
  CHECK(trusted_helper(scratch / "libexec/agent-run-nft", program) == helper);
  // ".." is the parent of the directory that the link leads to, as in path_resolution(7).
  const std::string other = scratch.file("real/other/agent-run-nft");
  CHECK(trusted_helper(scratch / "bin/linked/agent-run-nft", program) == other);
  fs::create_symlink("loop", scratch / "loop");
  CHECK_THROWS_AS(trusted_helper(scratch / "loop/agent-run-nft", program), agentrun::SysError);
  for (const std::string& path : {helper, scratch / "real/libexec", scratch / "real"}) {
    CAPTURE(path);
    fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
    CHECK_THROWS_AS(trusted_helper(helper, program), agentrun::Refusal);
    CHECK_THROWS_AS(trusted_helper(scratch / "libexec/agent-run-nft", program), agentrun::Refusal);
    fs::permissions(path, fs::perms::others_write, fs::perm_options::remove);
  }
  fs::permissions(scratch / "real", fs::perms::others_write | fs::perms::sticky_bit, fs::perm_options::add);
  CHECK(trusted_helper(helper, program) == helper);  // only an entry's owner replaces it there
}

TEST_CASE("an object keeps its identity when renamed, and a new object of its name has another") {
  const ScratchDirectory scratch;
  const auto first = object_id(scratch.directory("a"));
  REQUIRE(first);
  std::filesystem::rename(scratch / "a", scratch / "b");
  CHECK_FALSE(object_id(scratch / "a"));
  const auto moved = object_id(scratch / "b");
  REQUIRE(moved);
  CHECK(same_object(*first, *moved));
  const auto second = object_id(scratch.directory("a"));
  REQUIRE(second);
  CHECK_FALSE(same_object(*first, *second));
  const auto read = parse_object_id(text_of(*first));
  REQUIRE(read);
  CHECK(same_object(*first, *read));
}

TEST_CASE("a reused inode number is not the same object, and without a birth time the device counts") {
  const ObjectId object{.dev = 1, .ino = 2, .born = 3};
  CHECK(same_object(object, {.dev = 9, .ino = 2, .born = 3}));  // devices are numbered anew by a reboot
  CHECK_FALSE(same_object(object, {.dev = 1, .ino = 2, .born = 4}));
  CHECK_FALSE(same_object({.dev = 1, .ino = 2}, {.dev = 9, .ino = 2}));
  CHECK(same_object({.dev = 1, .ino = 2}, {.dev = 1, .ino = 2}));
}

TEST_CASE("malformed text is no identity") {
  for (const char* text : {"", ":", "1:2", "1:2:", "1:2:x", "a:b:c", "1:2:3:4", " 1:2:3", "1:2:3 "}) {
    CAPTURE(text);
    CHECK_FALSE(parse_object_id(text));
  }
}

TEST_CASE("directories that an agent could write are known by name, and by identity after a move") {
  const ScratchDirectory scratch;
  const std::string state = scratch.directory("state"), granted = scratch.directory("granted");
  scratch.directory("granted/below");
  AgentWritableDirs({state}).remember(state, {granted});
  const auto holds = [&](const std::string& path) { return AgentWritableDirs({state}).holds(path); };
  CHECK(holds(granted));
  CHECK(holds(scratch / "granted/below"));
  CHECK_FALSE(holds(scratch.directory("granted-too")));
  CHECK_FALSE(holds(scratch.path()));
  std::filesystem::rename(granted, scratch / "moved");
  CHECK(holds(scratch / "moved/below"));
}

TEST_CASE("paths of the host are followed through every link") {
  const ScratchDirectory scratch;
  scratch.file("real/file");
  std::filesystem::create_directory_symlink("real", scratch / "link");
  HostPaths host;
  CHECK(host.canonical(scratch / "link/file") == scratch / "real/file");
  CHECK_FALSE(host.canonical(scratch / "link/none"));
  CHECK(host.resolved(scratch / "link/none") == scratch / "real/none");
  const std::vector<std::string> links = host.links(scratch / "link/file");
  CHECK(std::ranges::find(links, scratch.path()) != links.end());  // where it stands
  CHECK(real_path(scratch / "link") == scratch / "real");
  CHECK_FALSE(real_path(scratch / "none"));
}
