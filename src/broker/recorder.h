// From a judged call to its record and its counts. The record is on its way to the disk before anything happens.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <agentrun/journal.h>
#include <agentrun/journal/redact.h>
#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include "broker/notify/request.h"
#include "broker/task/task.h"
#include "broker/traces.h"

namespace agentrun::broker {

/// One trapped call on its way: what was asked, on what it was judged, and how.
struct Case {
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
  int error = 0;  // what the agent is told, as far as it is known when the record is written
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
inline Outcome outcome_of(const Case& c) {
  return {.row = c.request.row, .id = c.request.id, .pid = c.task.pid, .tid = c.task.tid};
}

/// Shared by the receivers.
class Recorder {
 public:
  Recorder(journal::Appender& entries, const policy::Policy& policy, const Fd& control, std::string run,
           const journal::Redactor* redactor, std::string own_program)
      : entries_(entries),
        policy_(policy),
        control_(control),
        run_(std::move(run)),
        redactor_(redactor),
        own_program_(std::move(own_program)) {}

  /// Writes the decision's record. False when it could not be written: then nothing may be allowed any more.
  [[nodiscard]] bool decision(const Case& c);
  /// An allowed act that then failed by itself: the record of the decision was already written.
  [[nodiscard]] bool outcome(const Outcome& call, int error);
  [[nodiscard]] bool outcome(const Case& c, int error) { return outcome(outcome_of(c), error); }
  /// What really runs after an execve that claimed to run `claimed`; "": no claim is known.
  [[nodiscard]] bool image(const Task& task, const std::string& claimed, const policy::Verdict& verdict);

  /// Once a record was lost, every call is refused.
  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t decisions() const noexcept { return decisions_.load(); }
  [[nodiscard]] std::uint64_t denials() const noexcept { return denials_.load(); }
  [[nodiscard]] std::uint64_t absent() const noexcept { return absent_.load(); }
  /// What the run leaves behind, as far as it was recorded.
  [[nodiscard]] Traces& traces() noexcept { return traces_; }
  /// Tells the supervisor that a denied image runs.
  void report_denied_image(const std::string& path) const;

 private:
  bool append(journal::Record& record);
  void count(const Case& c);
  void tell_denial(const Case& c);
  void decision_fields(const Case& c, journal::Record& record);
  [[nodiscard]] std::string remedy(const Case& c) const;

  journal::Appender& entries_;
  const policy::Policy& policy_;
  const Fd& control_;
  const std::string run_;
  const journal::Redactor* redactor_;
  const std::string own_program_;
  std::atomic<bool> failed_{false};
  std::atomic<std::uint64_t> decisions_{0}, denials_{0}, absent_{0};
  Traces traces_;
  std::mutex told_mutex_;
  std::set<std::string> told_;
};

}  // namespace agentrun::broker
