// Epochs and segments: journals of several of both, and what a thief of the present key can do with them.
#include <agentrun/sys/sanitized.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <barrier>
#include <csignal>
#include <thread>

#include "epochs.h"
#include "journal/format/encode.h"
#include "memory_store.h"

using namespace agentrun;
using namespace agentrun::journal;
using namespace journal_test;

TEST_CASE("epochs follow each other, each key announced by the one before") {
  Epochs journal({.epoch_records = 10});
  journal.fill(100);
  journal.finish();
  const Report report = journal.verify();
  CHECK(report.status == Status::complete);
  CHECK(report.epochs >= 9);
  CHECK(report.epochs == journal.run.epoch() + 1);
  CHECK_FALSE(std::filesystem::exists(journal.file("recent")));
}

TEST_CASE("an epoch also ends by time, and a crash right after its end is incomplete, not tampering") {
  Epochs journal({.epoch_ns = 50});
  journal.fill(3);
  CHECK(journal.run.epoch() > 0);
  const Report report = journal.verify();
  CHECK(report.exit_code() == 3);
  CHECK(report.signed_records == journal.run.size());
}

TEST_CASE("segments follow each other while several threads append") {
  Epochs journal({.segment_bytes = 10'000, .epoch_records = 300});
  constexpr int rounds = 10;
  constexpr int burst = 100;
  constexpr int each = rounds * burst;
  std::barrier round(4);  // a turn of the sealer beside each burst, however fast the writers are
  Appender& shared = journal.appender;
  std::array<std::thread, 3> writers;
  for (int w = 0; w < 3; ++w) {
    writers[static_cast<std::size_t>(w)] = std::thread([&shared, &round, w] {
      Record record;
      for (int i = 0; i < each; ++i) {
        if (i % burst == 0) round.arrive_and_wait();
        record.begin();
        record.number("i", i).text("type", "decision").number("writer", w);
        if (shared.append(record.line()) != 0) std::abort();
      }
    });
  }
  for (int i = 0; i < rounds; ++i) {
    round.arrive_and_wait();
    journal.turn();
  }
  for (std::thread& writer : writers) writer.join();
  journal.finish();
  CHECK(std::filesystem::exists(journal.file("entries.000002.jsonl")));
  const Report report = journal.verify();
  CHECK(report.status == Status::complete);
  std::array<std::int64_t, 3> next{};
  bool ordered = true;
  show(journal.run.directory(), {.type = "decision"}, [&](std::uint64_t, std::string_view line) {
    ordered = ordered && number_field(line, "i") == next.at(static_cast<std::size_t>(*number_field(line, "writer")))++;
    return true;
  });
  CHECK(ordered);
  CHECK(next == std::array<std::int64_t, 3>{each, each, each});
  CHECK(slurp(journal.file("hashes")).size() == report.records * 32);
}

TEST_CASE("the old segment is read to its end before the new one") {
  Epochs journal({.segment_bytes = 100});
  journal.fill(2);
  Appender slow(journal.run.appender());
  journal.append(decision(50));
  journal.run.absorb();
  journal.run.begin_segment();
  REQUIRE(journal.run.segment_ending());
  CHECK_FALSE(journal.run.segment_full());
  journal.appender.move_to(journal.run.segment());
  journal.append(decision(61));             // into the new one
  REQUIRE(slow.append(decision(60)) == 0);  // late, into the old one
  slow.move_to(journal.run.segment());
  journal.run.end_segment();
  std::vector<std::string> paths;
  show(journal.run.directory(), {.type = "decision"}, [&](std::uint64_t, std::string_view line) {
    paths.push_back(*text_field(line, "path"));
    return true;
  });
  REQUIRE(paths.size() >= 3);
  CHECK(std::vector<std::string>(paths.end() - 3, paths.end()) ==
        std::vector<std::string>{"/work/file50", "/work/file60", "/work/file61"});
  journal.finish();
  CHECK(journal.verify().exit_code() == 0);
}

TEST_CASE("a segment that ends inside a record is not complete") {
  Epochs journal({.segment_bytes = 100});
  journal.fill(1);
  journal.append("{\"half");
  journal.run.begin_segment();
  CHECK_THROWS_AS(journal.run.end_segment(), SysError);
}

TEST_CASE("a key.rotate not made by the sealer rotates nothing, and no valid journal has one") {
  Epochs journal({.epoch_records = 20});
  const Key thief = Key::generate(journal.run.origin() + "/e1");
  Record record;
  record.begin();
  record.number("epoch", 1).text("type", "key.rotate").text("vkey", thief.vkey());
  journal.fill(3);
  journal.append(std::string(record.line()));
  journal.run.absorb();
  CHECK(journal.run.epoch() == 0);
  journal.fill(30);
  CHECK(journal.run.epoch() > 0);
  journal.finish();
  CHECK(journal.verify().exit_code() == 1);
  CHECK(mentions(journal.verify(), "V2", "record 4 "));
}

TEST_CASE("a thief of the current key can change only the open epoch; the keys of closed epochs are gone") {
  if (sanitized) return;  // memory that is looked through byte by byte is what sanitizers are there to complain of
  Epochs journal({.epoch_records = 12});
  journal.fill(6);
  // Not through a door of the product: the pages of keys are found as a thief with ptrace(2) would find them.
  const auto first = stolen_seed(Key::from_vkey(journal.run.vkeys()[1]));
  REQUIRE(first.has_value());
  journal.fill(30);
  REQUIRE(journal.run.epoch() >= 2);
  CHECK_FALSE(stolen_seed(Key::from_vkey(journal.run.vkeys()[1])).has_value());
  CHECK_FALSE(is_in_memory(*first));
  const auto present = stolen_seed(journal.announced().back());
  REQUIRE(present.has_value());
  CHECK(is_in_memory(*present));  // the control: what is there is found
  const std::string name = journal.run.origin() + "/e" + std::to_string(journal.run.epoch());
  const auto seed = present->open();
  const Key stolen = Key::from_seed(name, seed);
  journal.fill(3);
  journal.run.sign(1);
  const std::string entries = slurp(journal.entries());
  const std::string newest = slurp(journal.file("checkpoint"));
  REQUIRE(journal.verify().exit_code() == 3);

  SUBCASE("the open epoch: he can") {
    std::string altered = entries;
    altered.replace(altered.rfind("/work/file"), 10, "/home/file");
    spill(journal.entries(), altered);
    spill(journal.file("checkpoint"), resigned(altered, journal.run.origin(), stolen));
    CHECK(journal.verify().exit_code() == 3);  // as before: nothing is seen. This is what epochs are short for
  }
  SUBCASE("a closed epoch: he cannot, whatever he signs again") {
    std::string altered = entries;
    altered.replace(altered.find("/work/file"), 10, "/home/file");
    spill(journal.entries(), altered);
    CHECK(journal.verify().exit_code() == 1);
    spill(journal.file("checkpoint"), resigned(altered, journal.run.origin(), stolen));
    CHECK(mentions(journal.verify(), "V3", "record 1 "));
    // All notes of the closed epochs, signed with the only key that he has.
    std::string notes;
    for (const std::uint64_t size : sizes_of(slurp(journal.file("epochs"))))
      notes += resigned(altered, journal.run.origin(), stolen, size);
    spill(journal.file("epochs"), notes);
    CHECK(journal.verify().exit_code() == 1);
    CHECK(mentions(journal.verify(), "V1", "epochs note 1"));
    // Without them nothing speaks for the records, and the key that he has was announced by nobody.
    std::filesystem::remove(journal.file("epochs"));
    CHECK(journal.verify().exit_code() == 1);
  }
}

TEST_CASE("a journal that can no longer be written says why, in reserved space") {
  Epochs journal({.epoch_records = 50});
  journal.fill(5);
  REQUIRE(std::filesystem::file_size(journal.scratch.path() / "state" / "reserve") == 65536);
  const std::uint64_t before = journal.run.size();
  const auto limit = static_cast<rlim_t>(std::filesystem::file_size(journal.entries()) + 7);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit file{.rlim_cur = limit, .rlim_max = limit};
    _exit(::setrlimit(RLIMIT_FSIZE, &file) == 0 && journal.appender.append(decision(1)) == EFBIG ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  REQUIRE(status == 0);
  CHECK(journal.verify().torn_bytes == 7);
  CHECK(journal.run.fail("r", "EFBIG", "it was full"));
  const Report report = journal.verify();
  CHECK(report.exit_code() == 3);
  CHECK(report.torn_bytes == 0);
  CHECK(report.records == before + 1);
  CHECK(report.signed_records == before + 1);
  std::string last;
  show(journal.run.directory(), {}, [&](std::uint64_t, std::string_view line) {
    last = line;
    return true;
  });
  CHECK(text_field(last, "type") == "journal.fail");
  CHECK(text_field(last, "errno") == "EFBIG");
  CHECK(text_field(last, "what") == "it was full");
  CHECK(number_field(last, "torn_bytes") == 7);
  CHECK_FALSE(std::filesystem::exists(journal.scratch.path() / "state" / "reserve"));
  const Run next = Run::create(journal.scratch.path() / "state", journal.identity, "next");
  CHECK(std::filesystem::exists(journal.scratch.path() / "state" / "reserve"));
}

TEST_CASE("synced appends of several threads all reach the disk, in fewer syncs than appends") {
  Journal journal;
  Appender synced(journal.run.appender(), Durability::synced);
  std::array<std::thread, 4> writers;
  for (std::thread& writer : writers) {
    writer = std::thread([&synced] {
      for (int i = 0; i < 20; ++i)
        if (synced.append(decision(i)) != 0) std::abort();
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(journal.run.absorb() == 80);
  // A descriptor that cannot be synced: the record may be there, and the caller is told that it may not.
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const Fd reader(ends[0]);
  Appender pipe(Entries{.segment = Fd(ends[1]), .wake = {}}, Durability::synced);
  CHECK(pipe.append("x\n") == EINVAL);
  CHECK(pipe.append("x\n") == EINVAL);
  std::array<char, 8> got{};
  CHECK(::read(reader.get(), got.data(), got.size()) == 2);  // the second was not even written
  // The last ones are synced together.
  std::array<int, 2> more{};
  REQUIRE(::pipe(more.data()) == 0);
  const Fd last_reader(more[0]);
  Appender last(Entries{.segment = Fd(more[1]), .wake = {}}, Durability::synced);
  last.defer();
  CHECK(last.append("x\n") == 0);
  CHECK(last.append("y\n") == 0);
  CHECK(last.settle() == EINVAL);
  Appender kept(journal.run.appender(), Durability::synced);
  kept.defer();
  CHECK(kept.append(decision(80)) == 0);
  CHECK(kept.settle() == 0);
}
