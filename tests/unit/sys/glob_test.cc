// Globs: the syntax of each kind of pattern, and what the implementations said that were replaced by the one.
#include <doctest/doctest.h>

#include <agentrun/sys/glob.h>
#include <fnmatch.h>

#include <random>
#include <string>
#include <vector>

using agentrun::Glob;

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

TEST_CASE("malformed globs") {
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

TEST_CASE("the first and last bytes of every match") {
  CHECK(Glob("ab*cd").prefix() == "ab");
  CHECK(Glob("ab*cd").suffix() == "cd");
  CHECK(Glob("*x?").suffix().empty());
  CHECK(Glob("[ab]x").suffix() == "x");
}

namespace {

// What journal.redact matched by before there was one implementation.
bool redact_glob(std::string_view pattern, std::string_view text) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::size_t p = 0, t = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string random_of(std::mt19937& random, const std::vector<std::string>& parts, std::size_t most) {
  std::string text;
  for (std::size_t left = random() % (most + 1); left > 0; --left) text += parts[random() % parts.size()];
  return text;
}

}  // namespace

TEST_CASE("words of command lines: only * and ? are special, and letter case does not count") {
  std::mt19937 random(1);
  const std::vector<std::string> parts = {"*", "?", "a", "A", "b", "[", "]", "\\", "Z", "z", "@", "\xc3", "\xe3"};
  const std::vector<std::string> texts = {"a", "A", "b", "B", "[", "]", "\\", "z", "Z", "`", "\xc3", "\xe3", "*"};
  unsigned matched = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string pattern = random_of(random, parts, 6), text = random_of(random, texts, 6);
    CAPTURE(pattern);
    CAPTURE(text);
    const bool matches = Glob(pattern, Glob::Syntax::words, Glob::Case::folded).matches(text);
    REQUIRE(matches == redact_glob(pattern, text));
    matched += matches ? 1 : 0;
  }
  CHECK(matched > 1000);
}

TEST_CASE("filters of the journal match as fnmatch(3) does") {
  std::mt19937 random(2);
  const std::vector<std::string> parts = {"*",
                                          "?",
                                          "a",
                                          "b",
                                          "c",
                                          "/",
                                          "_",
                                          "\\*",
                                          "\\a",
                                          "[ab]",
                                          "[!a]",
                                          "[^b]",
                                          "[a-c]",
                                          "[]a]",
                                          "[!]a]",
                                          "[a-]",
                                          "[-b]",
                                          "[c-a]",
                                          "[\\]]",
                                          "[a\\-c]",
                                          "[*?]",
                                          "[[]",
                                          "[[:alpha:]]",
                                          "[![:digit:]]",
                                          "[[:punct:]a]",
                                          "]",
                                          "-",
                                          "[",
                                          "[[:nosuch:]]",
                                          "\\"};
  const std::vector<std::string> texts = {"a", "b", "c", "/", "_", "*", "]", "[", "-", "?", "\\", "1", "\xc3", " "};
  unsigned matched = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string pattern = random_of(random, parts, 5), text = random_of(random, texts, 5);
    CAPTURE(pattern);
    CAPTURE(text);
    const bool matches = Glob(pattern, Glob::Syntax::shell).matches(text);
    REQUIRE(matches == (::fnmatch(pattern.c_str(), text.c_str(), 0) == 0));
    matched += matches ? 1 : 0;
  }
  CHECK(matched > 1000);
}

TEST_CASE("named classes are those of the C locale") {
  for (const char* name :
       {"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"}) {
    const std::string pattern = "[[:" + std::string(name) + ":]]";
    for (int byte = 1; byte < 256; ++byte) {
      const std::string text(1, static_cast<char>(byte));
      CAPTURE(pattern);
      CAPTURE(byte);
      CHECK(Glob(pattern, Glob::Syntax::shell).matches(text) == (::fnmatch(pattern.c_str(), text.c_str(), 0) == 0));
    }
  }
}
