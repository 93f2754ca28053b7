#include <doctest/doctest.h>

#include "broker/notify/sync_wakeup.h"

using namespace agentrun::broker;

namespace {

// Calls of one task, then of others, until it says so; `most` when it never does.
int calls_until(Callers& callers, bool several, int most, auto&& caller_of) {
  for (int i = 0; i < most; ++i) {
    if (callers.note(caller_of(i)) == several) return i;
  }
  return most;
}

constexpr int many = 10'000;

}  // namespace

TEST_CASE("one task never counts as several") {
  Callers callers;
  CHECK(calls_until(callers, true, many, [](int) { return 7; }) == many);
}

TEST_CASE("a script that starts one program after another does not count as several") {
  Callers callers;
  constexpr int of_each = 20;  // calls of a program, then two of the script
  CHECK(calls_until(callers, true, many, [](int i) { return i % (of_each + 2) < 2 ? 7 : 100 + i / (of_each + 2); }) ==
        many);
}

TEST_CASE("tasks that call by turns count as several at once, until one is alone again") {
  Callers callers;
  CHECK(calls_until(callers, true, many, [](int i) { return 7 + i % 2; }) < 10);
  CHECK(calls_until(callers, false, many, [](int i) { return 7 + i / 3 % 3; }) == many);  // bursts of three
  CHECK(calls_until(callers, false, many, [](int) { return 7; }) < 64);
  CHECK(calls_until(callers, true, many, [](int) { return 7; }) == many);
}
