#include <doctest/doctest.h>

#include "broker/broker_event.h"

using namespace agentrun::broker;

TEST_CASE("events survive the wire") {
  const Event event{.kind = Event::Kind::denial,
                    .text = "change /x",
                    .remedy = "files: {write: [/x]}",
                    .decisions = 1,
                    .denials = 2,
                    .absent = 3};
  const auto back = decode_event(encode(event));
  REQUIRE(back.has_value());
  CHECK(back->kind == event.kind);
  CHECK(back->text == event.text);
  CHECK(back->remedy == event.remedy);
  CHECK(back->decisions == 1);
  CHECK(back->denials == 2);
  CHECK(back->absent == 3);
}

TEST_CASE("names that the agent chose cannot break the wire") {
  const auto back = decode_event(encode({.kind = Event::Kind::kill, .text = std::string("a\0b", 3)}));
  REQUIRE(back.has_value());
  CHECK(back->text == "a");
  CHECK(decode_event(encode({.kind = Event::Kind::kill, .text = std::string(100000, 'x')}))->text.size() < 10000);
}

TEST_CASE("anything else is refused") {
  for (const std::string& bytes : {std::string(), std::string("?"), std::string("a"), std::string("a\0\0\0\0", 5),
                                   encode({}) + "x", std::string("a\0\0x\0000\0000\0", 9)}) {
    CHECK_FALSE(decode_event(bytes).has_value());
  }
}

TEST_CASE("names of traces round trip") {
  for (const Trace trace : {Trace::repository, Trace::bare_repository, Trace::rebase, Trace::index, Trace::instructions,
                            Trace::not_updated, Trace::more})
    CHECK(trace_of(name(trace)) == trace);
  CHECK_FALSE(trace_of("").has_value());
}
