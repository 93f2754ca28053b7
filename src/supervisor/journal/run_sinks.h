// The sinks of one run, as the supervisor's loop uses them.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/journal.h>
#include <agentrun/sink/live.h>
#include <agentrun/supervisor.h>
#include "supervisor/journal/supervisor_records.h"

namespace agentrun::supervisor {

/// One process for each sink. Only the constructor throws: a sink that fails does not end a run, because the journal is
/// complete. Records of type `lost` name what a receiver will never have, or does not have at the end.
class Sinks {
 public:
  struct Of {
    std::string program;  // of users_helper()
    std::filesystem::path run_directory;
    std::string origin;
    const journal::Key* identity = nullptr;  // certifies the keys of sinks that sign
    enum class State : std::uint8_t { going_on, over } state = State::going_on;
  };
  using Warn = std::function<void(const std::string&)>;
  /// `numbers`: the number of each sink among those of the run.
  Sinks(const std::vector<PreparedSink>& sinks, const std::vector<std::size_t>& numbers, const Of& of, Warn warn);

  void add_interests(std::vector<pollfd>& fds) const;
  /// Handles events, after a poll(2) in which one of the descriptors was ready.
  void relay();
  /// Losses to record now: for each sink the first one at once, then once a minute.
  std::vector<Lost> take_lost(std::int64_t boot_ns);

  /// Ends the waiting early: `came` is called when `fd` is readable.
  struct Interrupt {
    int fd = -1;
    std::function<bool()> came;
  };
  /// The first step of the end: waits until the records before `records` have arrived everywhere, or three quarters of
  /// the time are over. Returns what has not arrived.
  std::vector<Lost> drain(std::uint64_t records, const Interrupt& interrupt);
  /// The second step: waits until the last records have arrived and the connections are closed, or the time is over.
  /// Then it kills the processes.
  void finish(std::uint64_t records, const Interrupt& interrupt);
  /// The same, but without a limit while something arrives within `patience_ms`.
  void finish_patiently(std::uint64_t records, int patience_ms);
  /// A sentence for each sink that does not have everything.
  [[nodiscard]] std::vector<std::string> unsent(std::uint64_t records, const std::string& run) const;

 private:
  struct One {
    PreparedSink sink;
    std::size_t number = 0;
    std::optional<sink::Live> live;
    enum class State : std::uint8_t { going, arrived, failed, dead } state = State::going;
    bool warned = false;
    std::string reason;            // of the last failure
    std::optional<Lost> lost;      // not recorded yet
    std::int64_t recorded_at = 0;  // boot time; 0: never
    std::uint64_t rejected = 0;
  };
  void start(One& one, const Of& of);
  void receive(One& one, const std::optional<sink::Event>& event);
  void send(sink::Order order, std::uint64_t records);
  void wait(const std::function<std::int64_t(const One&)>& deadline, const Interrupt& interrupt);
  void await_exits();
  [[nodiscard]] std::int64_t end_of(const One& one) const;
  [[nodiscard]] std::uint64_t arrived(const One& one) const;

  std::filesystem::path directory_;
  Warn warn_;
  std::vector<One> ones_;
  std::int64_t end_began_ = 0;
  bool interrupted_ = false;
};

}  // namespace agentrun::supervisor
