#include "scratch.h"

using namespace agentrun;
using namespace agentrun::journal;
using namespace journal_test;

TEST_CASE("runs are listed and found by id, prefix, or as the latest") {
  const Scratch scratch;
  CHECK(list_runs(scratch.path()).empty());
  CHECK_THROWS_AS((void)find_run(scratch.path()), Refusal);
  const Key identity = load_or_make_identity(scratch.path());
  CHECK_THROWS_AS((void)find_run(scratch.path()), Refusal);
  for (const char* id : {"20260101T000000-aa", "20260102T000000-aa", "20260102T000000-ab"}) {
    Run::create(scratch.path(), identity, id).close();
  }
  const Run open = Run::create(scratch.path(), identity, "20260103T000000-cc");
  std::filesystem::create_directory(scratch.path() / "runs" / ".hidden");
  spill(scratch.path() / "runs" / "file", "");
  std::filesystem::create_directory_symlink("20260101T000000-aa", scratch.path() / "runs" / "zz-link");
  const auto runs = list_runs(scratch.path());
  REQUIRE(runs.size() == 4);
  CHECK(runs[0].id == "20260101T000000-aa");
  CHECK(runs[0].closed);
  CHECK_FALSE(runs[3].closed);
  CHECK(find_run(scratch.path()) == open.directory());
  CHECK(find_run(scratch.path(), "20260101") == runs[0].directory);
  CHECK(find_run(scratch.path(), "20260102T000000-aa") == runs[1].directory);
  CHECK_THROWS_AS((void)find_run(scratch.path(), "20260102"), Refusal);
  CHECK_THROWS_AS((void)find_run(scratch.path(), "2025"), Refusal);
  CHECK_THROWS_AS((void)find_run(scratch.path(), "../runs"), Refusal);
}

TEST_CASE("records are shown in order over all segments") {
  Journal journal;
  journal.decide(0, 3);
  spill(journal.file("entries.000001.jsonl"), decision(3) + life("tick", 5) + "{\"torn");
  std::vector<std::uint64_t> seen;
  const auto note = [&](std::uint64_t index, std::string_view line) {
    CHECK_FALSE(line.ends_with('\n'));
    seen.push_back(index);
    return true;
  };
  CHECK(show(journal.run.directory(), {}, note) == 5);
  CHECK(seen == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
  seen.clear();
  CHECK(show(journal.run.directory(), {.first = 2, .count = 2}, note) == 2);
  CHECK(seen == std::vector<std::uint64_t>{2, 3});
  seen.clear();
  CHECK(show(journal.run.directory(), {.type = "tick"}, note) == 1);
  CHECK(seen == std::vector<std::uint64_t>{4});
  CHECK(show(journal.run.directory(), {}, [](std::uint64_t, std::string_view) { return false; }) == 1);
  CHECK(show(journal.run.directory(), {.count = 0}, note) == 0);
  CHECK_THROWS_AS((void)show(journal.scratch.path() / "none", {}, note), SysError);
}

TEST_CASE("lines that cross the end of the reader's buffer stay whole") {
  Journal journal;
  std::string content;
  for (int i = 0; i < 400; ++i)
    content += std::to_string(i) + std::string(static_cast<std::size_t>(1000 + i * 37), 'x') + "\n";
  spill(journal.entries(), content);
  std::string joined;
  (void)show(journal.run.directory(), {}, [&](std::uint64_t, std::string_view line) {
    joined.append(line).append("\n");
    return true;
  });
  CHECK(joined == content);
}
