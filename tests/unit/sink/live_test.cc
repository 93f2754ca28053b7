#include <agentrun/sink/live.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

using namespace agentrun::sink;

TEST_CASE("events and messages are read as they were written") {
  const Event event{.kind = Event::Kind::lost, .record = 5, .last = 9, .count = 3, .text = "HTTP 400"};
  const auto read = decode(encode(event));
  REQUIRE(read);
  CHECK(read->kind == Event::Kind::lost);
  CHECK(read->record == 5);
  CHECK(read->last == 9);
  CHECK(read->count == 3);
  CHECK(read->text == "HTTP 400");
  CHECK(decode(encode(Event{.kind = Event::Kind::at, .record = 1, .text = {}})));
  CHECK(encode(Word::end, 7) == "end 7");
  CHECK(encode(Word::close, 7) == "close 7");
}

TEST_CASE("a process that was taken over can send nothing else") {
  for (const char* message : {"", "at", "at ", "at 1", "at 1 2", "at x 0 0 ", "gone 1 2 3 ", "at -1 0 0 ",
                              "at 99999999999999999999 0 0 ", "at 1,2 0 0 "}) {
    CAPTURE(message);
    CHECK_FALSE(decode(message));
  }
  const auto read = decode("down 0 0 0 a\nb\x1b[31mc" + std::string(1000, 'x'));
  REQUIRE(read);
  CHECK(read->text.starts_with("a?b?[31mc"));
  CHECK(read->text.size() == 200);
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string message = i % 2 == 0 ? "lost 1 2 3 " : "";
    for (auto n = random() % 40; n > 0; --n) message.push_back(static_cast<char>(random()));
    const auto event = decode(message);
    if (!event) continue;
    CHECK(event->text.size() <= 200);
    CHECK(event->text.find_first_not_of(
              " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") ==
          std::string::npos);
  }
}

TEST_CASE("URLs and cursors of a run") {
  char name[] = "/tmp/agent-run-sinks-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::filesystem::path folder(name);
  CHECK(read_urls(folder).empty());
  CHECK(read_cursor(folder, 0) == 0);
  write_urls(folder, {"file:/a", "journald:"});
  CHECK(read_urls(folder) == std::vector<std::string>{"file:/a", "journald:"});
  for (const auto& [text, expected] : {std::pair{"00000000000000000017\n", 17ULL}, std::pair{"", 0ULL},
                                       std::pair{"x", 0ULL}, std::pair{"12345678901234567890123\n", 0ULL}}) {
    const std::string written = text;
    CAPTURE(written);
    std::ofstream(folder / "sink.1") << text;
    CHECK(read_cursor(folder, 1) == expected);
  }
  std::filesystem::remove_all(folder);
}
