// Somebody else writes the files of a run that goes on: whatever stands in them and was not written by the run is never
// signed.
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <functional>
#include <set>

#include "epochs.h"
#include "journal/write/ledger.h"

using namespace agentrun;
using namespace agentrun::journal;
using namespace journal_test;

namespace {

void add(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::app) << bytes;
}

int error_of(const std::function<void()>& act) {
  try {
    act();
    return 0;
  } catch (const SysError& error) {
    return error.error();
  }
}

/// A journal with some records sealed and some not, and what an attacker does to it then.
struct Attacked : Journal {
  Attacked() {
    append(life("journal.open", 1));
    decide(0, 5);
    run.absorb();
    run.sign(1);
    decide(5, 10);
  }
  void swap_segment(const std::string& bytes) {
    spill(file("other"), bytes);
    std::filesystem::rename(file("other"), entries());
  }
  void end() {
    append(life("journal.close", 900000));
    run.close();
  }
};

struct Attack {
  const char* name;
  std::function<void(Attacked&)> act;
};

std::string one_byte_other(std::string text, std::string_view place) {
  text[text.find(place) + place.size() - 1] ^= 1;
  return text;
}

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> list = {
      {"append a record", [](Attacked& j) { add(j.entries(), decision(77)); }},
      {"append a record that was written before", [](Attacked& j) { add(j.entries(), decision(3)); }},
      {"append half a record", [](Attacked& j) { add(j.entries(), "{\"act\""); }},
      {"append an empty line", [](Attacked& j) { add(j.entries(), "\n"); }},
      {"change a byte that is not sealed",
       [](Attacked& j) { spill(j.entries(), one_byte_other(slurp(j.entries()), "/work/file7")); }},
      {"exchange two records",
       [](Attacked& j) {
         std::string text = slurp(j.entries());
         const std::string six = decision(6), seven = decision(7);
         text.replace(text.find(six + seven), six.size() + seven.size(), seven + six);
         spill(j.entries(), text);
       }},
      {"cut what is not sealed",
       [](Attacked& j) { std::filesystem::resize_file(j.entries(), slurp(j.entries()).find(decision(8))); }},
      {"cut what is sealed", [](Attacked& j) { std::filesystem::resize_file(j.entries(), 20); }},
      {"take a record out of the middle",
       [](Attacked& j) {
         std::string text = slurp(j.entries());
         text.erase(text.find(decision(6)), decision(6).size());
         spill(j.entries(), text);
       }},
      {"another file in its place", [](Attacked& j) { j.swap_segment(slurp(j.entries())); }},
      {"another file in its place, longer", [](Attacked& j) { j.swap_segment(slurp(j.entries()) + decision(77)); }},
      {"no file in its place", [](Attacked& j) { std::filesystem::remove(j.entries()); }},
      {"a longer file of hashes", [](Attacked& j) { add(j.file("hashes"), std::string(32, 'x')); }},
      {"no hashes", [](Attacked& j) { std::filesystem::remove(j.file("hashes")); }},
  };
  return list;
}

}  // namespace

TEST_CASE("changes by others to the files of a live run are never sealed") {
  {
    Attacked control;
    control.end();
    REQUIRE(control.verify().exit_code() == 0);
  }
  for (const Attack& attack : attacks()) {
    CAPTURE(attack.name);
    Attacked journal;
    attack.act(journal);
    CHECK(error_of([&] { journal.end(); }) == altered_errno);
    CHECK(journal.verify().exit_code() != 0);
    CHECK(journal.run.fail("r", "EBADMSG", "it was altered"));
    CHECK(journal.verify().exit_code() != 0);
  }
}

TEST_CASE("foreign data is cut off, and records written in between are restored and signed") {
  Attacked journal;
  add(journal.entries(), decision(77));
  journal.decide(10, 12);
  add(journal.entries(), decision(78) + "{\"half");
  CHECK(error_of([&] { journal.run.absorb(); }) == altered_errno);
  REQUIRE(journal.run.fail("r", "EBADMSG", "it was altered"));
  const Report report = journal.verify();
  CHECK(report.exit_code() == 3);
  CHECK(report.records == 1 + 12 + 1);
  CHECK(report.signed_records == report.records);
  std::vector<std::string> paths;
  show(journal.run.directory(), {.type = "decision"}, [&](std::uint64_t, std::string_view line) {
    paths.push_back(text_field(line, "path").value_or(""));
    return true;
  });
  REQUIRE(paths.size() == 12);
  for (int i = 0; i < 12; ++i) CHECK(paths[static_cast<std::size_t>(i)] == "/work/file" + std::to_string(i));
}

TEST_CASE("an unannounced partial record is found at once") {
  Attacked journal;
  add(journal.entries(), "{\"act");
  CHECK(error_of([&] { journal.run.absorb(); }) == altered_errno);
}

TEST_CASE("between two segments no record is lost or repeated") {
  Epochs journal({.segment_bytes = 100});
  Appender slow(journal.run.appender());
  journal.append(decision(1));
  journal.run.absorb();
  REQUIRE(slow.append(decision(2)) == 0);
  add(journal.entries(), decision(77));
  REQUIRE(slow.append(decision(3)) == 0);
  journal.run.begin_segment();
  journal.appender.move_to(journal.run.segment());
  journal.append(decision(4));
  slow.move_to(journal.run.segment());
  REQUIRE(slow.append(decision(5)) == 0);
  CHECK(error_of([&] { journal.run.end_segment(); }) == altered_errno);
  REQUIRE(journal.run.fail("r", "EBADMSG", "it was altered"));
  CHECK(journal.verify().exit_code() == 3);
  std::multiset<std::string> paths;
  show(journal.run.directory(), {.type = "decision"}, [&](std::uint64_t, std::string_view line) {
    paths.insert(text_field(line, "path").value_or(""));
    return true;
  });
  CHECK(paths == std::multiset<std::string>{"/work/file1", "/work/file2", "/work/file3", "/work/file4", "/work/file5"});
}

TEST_CASE("a replaced old segment is found at the end") {
  Epochs journal({.segment_bytes = 100});
  journal.fill(3);
  const auto first = journal.entries();
  spill(journal.file("other"), slurp(first));
  std::filesystem::rename(journal.file("other"), first);
  CHECK(error_of([&] { journal.finish(); }) == altered_errno);
}

TEST_CASE("a writer that is killed between announcing and writing leaves a journal that closes") {
  Journal journal;
  journal.append(life("journal.open", 1));
  Entries entries = journal.run.appender();
  const std::atomic<int> go_on{0};
  REQUIRE(entries.ledger->begin(decision(1), go_on) == 0);  // and no write
  journal.append(life("journal.close", 2));
  journal.run.close();
  CHECK(journal.verify().exit_code() == 0);
}

TEST_CASE("a writer waits while the sealer is behind, then continues, and ends when stopped") {
  Journal journal;
  Appender other(journal.run.appender());
  const std::string line = std::string(8000, 'x') + "\n";
  const auto most = static_cast<int>(Ledger::capacity / line.size());
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < most + 100; ++i) {
      if (other.append(line) != 0) ::_exit(1);
    }
    ::_exit(0);
  }
  int status = -1;
  while (::waitpid(child, &status, WNOHANG) == 0) journal.run.absorb();
  CHECK(status == 0);
  CHECK(journal.run.absorb() == static_cast<std::uint64_t>(most) + 100);
  // In the sealer's own process nobody would ever make room.
  Appender own(journal.run.appender());
  for (int i = 0; i < most; ++i) REQUIRE(own.append(line) == 0);
  CHECK(own.append(line) == ENOBUFS);
}

TEST_CASE("nothing is appended to a stopped journal") {
  Journal journal;
  journal.append(decision(1));
  journal.appender.stop();
  CHECK(journal.appender.append(decision(2)) == Appender::stopped);
  CHECK(journal.run.absorb() == 1);
}

TEST_CASE("a writer's claims are not believed beyond its ring") {
  Ledger ledger;
  const std::atomic<int> go_on{0};
  std::string all;
  for (int i = 0; i < 40000; ++i) {  // around the end of the ring several times
    const std::string line = std::string(static_cast<std::size_t>(i % 2000), 'x') + decision(i);
    REQUIRE(ledger.begin(line, go_on) == 0);
    ledger.finish();
    CHECK_FALSE(ledger.take(line + line));
    if (i % 7 != 0) {
      REQUIRE(ledger.take(line));
      CHECK_FALSE(ledger.take(line));
    } else {
      CHECK(ledger.rest() == line);
      REQUIRE(ledger.take(line));
    }
  }
}

TEST_CASE("a pipe in place of a file is refused at once, for reading and writing") {
  Journal journal;
  for (const char* name : {"epochs", "recent"}) REQUIRE(::mkfifo(journal.file(name).c_str(), 0600) == 0);
  journal.decide(0, 5000);
  journal.run.absorb();
  CHECK(error_of([&] { journal.run.sign(1); }) == EBADMSG);  // recent
  CHECK(error_of([&] { journal.run.close(); }) == EBADMSG);
}
