#include <doctest/doctest.h>

#include <vector>

#include "broker/exec/ld_so.h"

using namespace agentrun::broker;
using Kind = Launched::Kind;

TEST_CASE("dynamic loaders by name") {
  for (const char* path :
       {"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/lib/ld-2.36.so", "ld.so"}) {
    CAPTURE(path);
    CHECK(is_loader(path));
  }
  for (const char* path :
       {"/usr/bin/ld", "/usr/bin/x86_64-linux-gnu-ld.bfd", "/usr/lib/libld-linux.so", "/x/ld-linux", ""}) {
    CAPTURE(path);
    CHECK_FALSE(is_loader(path));
  }
}

TEST_CASE("what the loader will start") {
  struct Row {
    std::vector<std::string> argv;
    Kind kind;
    std::string path;
  };
  const Row rows[] = {
      {{"ld.so", "/bin/x", "--help"}, Kind::program, "/bin/x"},
      {{"ld.so", "--library-path", "/p", "./x"}, Kind::program, "./x"},
      {{"ld.so", "--argv0", "/looks/like/a/program", "--preload", "l.so", "/bin/x"}, Kind::program, "/bin/x"},
      {{"ld.so", "--verify", "/bin/x"}, Kind::program, "/bin/x"},
      {{"ld.so", "x"}, Kind::unknown, "x"},
      {{"ld.so", "--what-is-this", "/bin/x"}, Kind::unknown, "--what-is-this"},
      {{"ld.so", "--version", "/bin/x"}, Kind::nothing, ""},
      {{"ld.so", "--library-path"}, Kind::nothing, ""},
      {{"ld.so"}, Kind::nothing, ""},
      {{}, Kind::nothing, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const Launched launched = launched_by_loader(row.argv);
    CHECK(launched.kind == row.kind);
    CHECK(launched.path == row.path);
  }
}
