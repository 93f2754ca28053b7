// The one value that travels through the broker: a trapped call, what it was judged on, and how.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <agentrun/policy.h>
#include "broker/notify/request.h"
#include "broker/task/task.h"

namespace agentrun::broker {

/// One trapped call on its way: what was asked, on what it was judged, and how.
struct Call {
  const Request& request;
  const Task& task;
  std::int64_t started;  // boot time, ns
  policy::Right right = policy::Right::read;
  policy::Verdict verdict{};
  std::string path, path_req;  // as resolved, as asked
  std::string to, to_req;      // second name
  std::string stands_for;      // the guarded name by which it is denied, when that is not its path
  std::optional<policy::Destination> destination;
  std::string host;             // the name that the destination stands for
  bool foreign_socket = false;  // refused because it is another program's unix socket
  std::optional<std::pair<std::uint64_t, std::uint64_t>> identity;  // dev, ino
  std::vector<std::string> repositories;                            // directories of git that move, by where they go
  int error = 0;  // the errno that the agent gets, as far as it is known when the record is written
  std::string_view effect = "errno";
  enum class Cause : std::uint8_t {
    policy,
    walk
  } cause = Cause::policy;  // walk: it failed by itself, nobody denied it
};

/// Whose call it was: what the record of its outcome says.
struct Outcome {
  const filter::Row* row = nullptr;
  std::uint64_t id = 0;  // of the notification
  pid_t pid = 0, tid = 0;
};
inline Outcome outcome_of(const Call& c) {
  return {.row = c.request.row, .id = c.request.id, .pid = c.task.pid, .tid = c.task.tid};
}

}  // namespace agentrun::broker
