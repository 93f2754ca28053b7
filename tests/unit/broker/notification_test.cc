// No call is left without an answer but for a reason.
#include <doctest/doctest.h>

#include <cerrno>

#include "broker/notify/listener.h"
#include "broker/workers.h"
#include "tests/unit/broker/scratch_broker.h"

using namespace agentrun;
using namespace agentrun::broker;

TEST_CASE("a waiting target does not count as gone: it gets the errno") {
  WaitingCaller caller;
  Reply reply = Reply::gone(caller.listener(), caller.id(), EXFULL);
  CHECK(reply.kind() == Reply::Kind::error);
  CHECK(caller.listener().send(caller.id(), std::move(reply)) == EXFULL);
  CHECK(caller.answer() == EXFULL);
  CHECK(Reply::gone(caller.listener(), caller.id(), EXFULL).kind() == Reply::Kind::gone);
}

TEST_CASE("a call that nobody took over is answered with an errno") {
  CHECK(Reply::deferred(Deferral::refused(EAGAIN)).kind() == Reply::Kind::error);
  CHECK(Reply::deferred(Deferral::refused(EAGAIN)).number() == EAGAIN);
  WaitingCaller caller;
  auto& workers = *new Workers(caller.listener());  // its watcher never ends
  const Deferral taken =
      workers.start(caller.id(), {.call = [] { return Reply::error(EXFULL); }, .interruption = [] { return 0; }});
  CHECK(taken.taken());
  CHECK(Reply::deferred(taken).kind() == Reply::Kind::deferred);
  CHECK(caller.answer() == EXFULL);
}

TEST_CASE("a reply to try again is never silent: sent, it is EAGAIN") {
  WaitingCaller caller;
  CHECK(Reply::try_again().kind() == Reply::Kind::try_again);
  CHECK(caller.listener().send(caller.id(), Reply::try_again()) == EAGAIN);
  CHECK(caller.answer() == EAGAIN);
}
