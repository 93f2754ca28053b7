#include <doctest/doctest.h>

#include <agentrun/review.h>

#include <charconv>
#include <random>

using agentrun::review::unified_hunks;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  return lines;
}

// What patch(1) makes of it, without any fuzz: every context line must be there, at its place.
std::string patched(const std::string& before, const std::string& hunks) {
  const std::vector<std::string> old = lines_of(before), diff = lines_of(hunks);
  std::string out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < diff.size(); ++i) {
    std::string line = diff[i];
    if (line.starts_with("@@ -")) {
      std::size_t first = 0, count = 1;
      const auto end = std::from_chars(line.data() + 4, line.data() + line.size(), first).ptr;
      if (*end == ',') std::from_chars(end + 1, line.data() + line.size(), count);
      const std::size_t begin = count == 0 ? first : first - 1;
      REQUIRE(begin >= at);
      while (at < begin) out += old.at(at++);
      continue;
    }
    if (line.starts_with('\\')) continue;
    const bool bare = i + 1 < diff.size() && diff[i + 1].starts_with('\\');
    const char mark = line[0];
    std::string content = line.substr(1);
    if (bare) content.pop_back();
    if (mark != '+') REQUIRE(old.at(at++) == content);
    if (mark != '-') out += content;
  }
  while (at < old.size()) out += old[at++];
  return out;
}

}  // namespace

TEST_CASE("the format of diff -u") {
  CHECK(unified_hunks("a\n", "a\n").empty());
  CHECK(unified_hunks("", "").empty());
  CHECK(unified_hunks("", "x\n") == "@@ -0,0 +1 @@\n+x\n");
  CHECK(unified_hunks("x\n", "") == "@@ -1 +0,0 @@\n-x\n");
  CHECK(unified_hunks("a\n", "b\n") == "@@ -1 +1 @@\n-a\n+b\n");
  CHECK(unified_hunks("a", "a\n") == "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
  CHECK(unified_hunks("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nX\n6\n7\n8\n9\n") ==
        "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n");
}

TEST_CASE("nearby changes share a hunk, others do not") {
  std::string before, near, far;
  for (int i = 1; i <= 40; ++i) {
    const std::string line = std::to_string(i) + "\n";
    before += line;
    near += i == 10 || i == 17 ? "x" + line : line;
    far += i == 10 || i == 18 ? "x" + line : line;
  }
  CHECK(unified_hunks(before, near).find("@@ -7,14 +7,14 @@\n") == 0);
  CHECK(unified_hunks(before, near).find("@@", 20) == std::string::npos);
  CHECK(unified_hunks(before, far).find("@@ -7,7 +7,7 @@\n") == 0);
  CHECK(unified_hunks(before, far).find("@@ -15,7 +15,7 @@\n") != std::string::npos);
}

TEST_CASE("the hunks turn the old text into the new one") {
  std::mt19937 random(20261122);
  const auto text = [&](std::size_t lines, unsigned alphabet) {
    std::string made;
    for (std::size_t i = 0; i < lines; ++i) made += static_cast<char>('a' + random() % alphabet) + std::string("\n");
    if (random() % 4 == 0 && !made.empty()) made.pop_back();
    return made;
  };
  for (int i = 0; i < 3000; ++i) {
    const std::string before = text(random() % 40, 2 + random() % 8), after = text(random() % 40, 2 + random() % 8);
    CHECK(patched(before, unified_hunks(before, after)) == after);
  }
}

TEST_CASE("the diff is the shortest, where it is exact") {
  const std::string hunks =
      unified_hunks("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n");  // Myers' own example: 5 edits
  std::size_t edits = 0;
  for (const std::string& line : lines_of(hunks)) edits += line.starts_with("+") || line.starts_with("-") ? 1 : 0;
  CHECK(edits == 5);
}

TEST_CASE("texts with little in common are compared in bounded memory") {
  std::string before, after;
  for (int i = 0; i < 20'000; ++i) {
    before += "old " + std::to_string(i) + "\n";
    after += "new " + std::to_string(i) + "\n";
  }
  CHECK(patched(before, unified_hunks(before, after)) == after);
}
