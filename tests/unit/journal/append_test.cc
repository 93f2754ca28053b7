#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "scratch.h"

using namespace agentrun;
using namespace agentrun::journal;
using namespace journal_test;

TEST_CASE("two processes and two threads append at once: every record whole, once, in one order") {
  Journal journal;
  constexpr int each = 5000;
  const auto write_all_of = [&](Appender& appender, int writer) {
    Record record;
    for (int i = 0; i < each; ++i) {
      record.begin();
      record.number("i", i).number("writer", writer).text("x", std::string(static_cast<std::size_t>(i % 300), 'x'));
      if (appender.append(record.line()) != 0) return false;
    }
    return true;
  };
  Appender of_child(journal.run.appender());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(write_all_of(of_child, 0) ? 0 : 1);
  std::thread second([&] { CHECK(write_all_of(journal.appender, 1)); });
  Appender third(journal.run.appender());
  CHECK(write_all_of(third, 2));
  while (journal.run.absorb() < 1) continue;  // the sealer reads while others write
  second.join();
  int status = -1;
  ::waitpid(child, &status, 0);
  REQUIRE(status == 0);
  CHECK(journal.run.absorb() == 3 * each);
  std::array<std::int64_t, 3> next{};
  bool ordered = true;
  const auto given = show(journal.run.directory(), {}, [&](std::uint64_t, std::string_view line) {
    auto& expected = next.at(static_cast<std::size_t>(*number_field(line, "writer")));
    ordered = ordered && number_field(line, "i") == expected++;
    return true;
  });
  CHECK(given == 3 * each);
  CHECK(ordered);
  CHECK(std::ranges::all_of(next, [](std::int64_t n) { return n == each; }));
  journal.append(life("journal.close", 1));
  journal.run.close();
  CHECK(journal.verify().exit_code() == 0);
}

TEST_CASE("on a full disk the append fails, and the journal says where it ended") {
  Journal journal;
  journal.append(life("journal.open", 1));
  journal.run.absorb();
  journal.run.sign(1);
  const std::string line = decision(1);
  const rlim_t limit = std::filesystem::file_size(journal.entries()) + 2 * line.size() + 5;
  Appender appender(journal.run.appender());
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit file{.rlim_cur = limit, .rlim_max = limit};
    const bool as_expected = ::setrlimit(RLIMIT_FSIZE, &file) == 0 && appender.append(line) == 0 &&
                             appender.append(line) == 0 && appender.append(line) == EFBIG &&  // 5 bytes went in
                             appender.append(line) == EFBIG;  // and nothing stands behind half a record
    ::_exit(as_expected ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  const Report report = journal.verify();
  CHECK(report.exit_code() == 3);
  CHECK(report.records == 3);
  CHECK(report.signed_records == 1);
  CHECK(report.torn_bytes == 5);
  CHECK(journal.run.absorb() == 3);
}

TEST_CASE("a full disk makes the sealer throw") {
  Journal journal;
  journal.decide(0, 10);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit file{.rlim_cur = 100, .rlim_max = 100};
    int code = 1;
    try {
      if (::setrlimit(RLIMIT_FSIZE, &file) == 0) (void)journal.run.absorb();  // ten hashes are 320 bytes
    } catch (const SysError& error) {
      code = error.error() == EFBIG ? 0 : 2;
    }
    ::_exit(code);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("an append to an unwritable file returns an errno") {
  Journal journal;
  Appender appender(Entries{.segment = Fd(::open(journal.entries().c_str(), O_RDONLY | O_CLOEXEC)), .wake = {}});
  CHECK(appender.append("x\n") == EBADF);
  Appender none{Entries{.segment = {}, .wake = {}}};
  CHECK(none.append("x\n") == EBADF);
}
