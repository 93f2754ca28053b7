#include <doctest/doctest.h>

#include "policy/match/glob.h"

using agentrun::policy::Glob;

TEST_CASE("what globs match") {
  struct Row {
    const char* glob;
    const char* name;
    bool matches;
  };
  const Row rows[] = {
      {"*", "", true},
      {"*", "a", true},
      {"*", ".hidden", true},
      {"a*", "a", true},
      {"a*", "ba", false},
      {"*.c", ".c", true},
      {"*.c", "a.cc", false},
      {"a*b*c", "abbc", true},
      {"a*b*c", "acb", false},
      {"?", "a", true},
      {"?", "", false},
      {"?", "ab", false},
      {"[abc]x", "bx", true},
      {"[abc]x", "dx", false},
      {"[a-c]", "b", true},
      {"[a-c]", "d", false},
      {"[!a-c]", "d", true},
      {"[!a-c]", "b", false},
      {"[^a]", "a", false},
      {"[]a]", "]", true},
      {"[!]a]", "b", true},
      {"[!]a]", "]", false},
      {"[*]", "*", true},
      {"[*]", "a", false},
      {"[-a]", "-", true},
      {"[a-]", "-", true},
      {"[\\]", "\\", true},
      {"a**b", "axxb", true},
      {"ab*b", "ab", false},
      {"ab*b", "abb", true},
      {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
      {"[\x80-\xff]", "\xc3", true},
      {"?", "\xc3\xa9", false},
      {"x", "x", true},
      {"x", "y", false},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.glob));
    CAPTURE(std::string(row.name));
    REQUIRE_FALSE(Glob::fault(row.glob));
    CHECK(Glob(row.glob).matches(row.name) == row.matches);
  }
}

TEST_CASE("globs that are malformed") {
  for (const char* glob : {"[", "[]", "[a", "a[!]", "[b-a]", "[[:alpha:]]", "[a/b]", "a\\*", "\\"}) {
    CAPTURE(std::string(glob));
    CHECK(Glob::fault(glob));
  }
}

TEST_CASE("globs that match one text only") {
  CHECK(Glob::literal("a[*]b") == "a*b");
  CHECK(Glob::literal("[[]x") == "[x");
  CHECK(Glob::literal("plain") == "plain");
  for (const char* glob : {"*", "a?", "[ab]", "[!a]"}) CHECK_FALSE(Glob::literal(glob));
}

TEST_CASE("the bytes that every match begins and ends with") {
  CHECK(Glob("ab*cd").prefix() == "ab");
  CHECK(Glob("ab*cd").suffix() == "cd");
  CHECK(Glob("*x?").suffix().empty());
  CHECK(Glob("[ab]x").suffix() == "x");
}
