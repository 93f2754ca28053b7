// What patterns mean once they are expanded, and which ones are refused.
#include <doctest/doctest.h>

#include "policy/match/pattern.h"

using namespace agentrun::policy;
using agentrun::profile::ProfileError;

namespace {

const Variables variables{.home = "/home/u", .workspace = "/home/u/a[b]", .ssh_auth_sock = std::nullopt};
const Origin origin{{"t.yaml", 3, 5}, "files.read[0]"};

// One line for each alternative: "/home/u/x", "/x" + "/**" for what is only below, "*" for globs left as they are.
std::vector<std::string> shapes(const std::string& pattern) {
  std::vector<std::string> lines;
  for (const PathPattern& alternative : expand(pattern, variables, origin).alternatives) {
    std::string line;
    for (const Component& c : alternative.components)
      line += "/" + (c.kind == Component::Kind::any    ? "**"
                     : c.kind == Component::Kind::glob ? "<" + c.text + ">"
                                                       : c.text);
    if (alternative.scope == Scope::below) line += "/**";
    lines.push_back(line.empty() ? "/" : line);
  }
  return lines;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("what patterns mean") {
  CHECK(shapes("~") == Lines{"/home/u"});
  CHECK(shapes("~/x") == Lines{"/home/u/x"});
  CHECK(shapes("${HOME}/x/") == Lines{"/home/u/x"});
  CHECK(shapes("/") == Lines{"/"});
  CHECK(shapes("/**") == Lines{"/**"});
  CHECK(shapes("**") == Lines{"/**"});
  CHECK(shapes("/a//b/") == Lines{"/a/b"});
  CHECK(shapes("/a/**/**/b/**/**") == Lines{"/a/**/b/**"});
  CHECK(shapes("**/.env") == Lines{"/**/.env"});
  CHECK(shapes("/a/*.c") == Lines{"/a/<*.c>"});
  CHECK(shapes("/a/[*]") == Lines{"/a/*"});
  CHECK(shapes("/{a,b/c}/d") == Lines{"/a/d", "/b/c/d"});
  CHECK(shapes("/x{,.bak}") == Lines{"/x", "/x.bak"});
  CHECK(shapes("/{a,{b,c}}{1,2}") == Lines{"/a1", "/a2", "/b1", "/b2", "/c1", "/c2"});
  CHECK(shapes("/[{]a,b[}]") == Lines{"/{a,b}"});
  CHECK(shapes("{/a,/b}") == Lines{"/a", "/b"});
  CHECK(shapes("/a,b") == Lines{"/a,b"});
  CHECK(shapes("/$x") == Lines{"/$x"});
}

TEST_CASE("the value of a variable is never a pattern") {
  CHECK(shapes("${workspace}/x") == Lines{"/home/u/a[b]/x"});
  CHECK(expand("${workspace}/x", variables, origin).text == "/home/u/a[b]/x");
}

TEST_CASE("patterns that are refused") {
  struct Row {
    const char* pattern;
    const char* what;
  };
  const Row rows[] = {
      {"", "empty"},
      {"a/b", "a relative path"},
      {"./a", "a relative path"},
      {"*.c", "a relative path"},
      {"**.c", "a relative path"},
      {"~u/x", "only a slash can follow a variable"},
      {"${HOME}x", "only a slash can follow a variable"},
      {"${PATH}/x", "${PATH} is not a variable"},
      {"${}/x", "${} is not a variable"},
      {"${HOME", "unmatched \"${\""},
      {"/a/${HOME}", "a variable that is not at the beginning"},
      {"${SSH_AUTH_SOCK}", "SSH_AUTH_SOCK is not set"},
      {"/a/../b", "\"..\" in a path"},
      {"/a/.", "\".\" in a path"},
      {"/a/[.][.]", "\"..\" in a path"},
      {"/a/{..,b}", "\"..\" in a path"},
      {"/a**", "** is not alone between slashes"},
      {"/a/**b", "** is not alone between slashes"},
      {"/a/[b", "unmatched \"[\""},
      {"/a\\*", "a backslash"},
      {"/{a", "unmatched \"{\""},
      {"/a}", "unmatched \"}\""},
      {"/{a}", "a brace with one alternative"},
      {"{/a,b}", "a relative path"},
      {"/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "more than 64 alternatives"},
      {"/{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,{a,b}}}}}}}}}}}}}}}}}", "more than 16 braces"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.pattern));
    try {
      expand(row.pattern, variables, origin);
      FAIL_CHECK("accepted");
    } catch (const ProfileError& e) {
      const std::string what = e.what();
      CHECK_MESSAGE(what.starts_with("t.yaml:3:5: files.read[0]: " + std::string(row.what)), what);
      CHECK_FALSE(e.remedy().empty());
    }
  }
  CHECK_THROWS_AS(expand("/" + std::string(4096, 'a'), variables, origin), ProfileError);
}

TEST_CASE("variables in text") {
  CHECK(expand_text("${HOME}/x:${workspace}", variables, origin) == "/home/u/x:/home/u/a[b]");
  CHECK(expand_text("~ $HOME", variables, origin) == "~ $HOME");
  CHECK_THROWS_AS(expand_text("${PATH}", variables, origin), ProfileError);
  CHECK_THROWS_AS(expand_text("${HOME", variables, origin), ProfileError);
}
