// Where the broker's announcements come in: judged once more, dialed, and kept until the flow comes that they speak of.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "egress/egress_context.h"
#include "egress/relay/dial.h"

namespace agentrun::egress {

/// How long a flow may take to come after its answer.
inline constexpr int patience_ms = 5'000;

class Gate : Watcher {
 public:
  Gate(Context& context, Fd link);
  ~Gate() override;

  /// What is known of a flow on the wire: where it comes from and where it was meant to go.
  struct Key {
    policy::Destination source, to;
  };
  struct Admission {
    FlowFacts facts;
    bool check_name = false;
    Fd outside;              // empty: still to be dialed
    std::int64_t began = 0;  // boot time, ns
    Seat seat;
  };
  /// The announcement of a flow that came, which is used up by that; nullopt when there is none.
  std::optional<Admission> take(const Key& key);
  /// Reads what was announced so far. A flow is announced before its first packet, but may be met before its
  /// announcement.
  void read_announcements();
  /// Every flow that was announced and did not come is recorded as such.
  void close_all();

 private:
  class Pending;
  class Expected;
  void ready(unsigned tag, std::uint32_t events) override;
  bool receive_one();
  void handle(Announcement announcement);
  void cancel(std::uint64_t id);
  void dialed(std::uint64_t id, Dial::Outcome outcome);
  void expect(const Key& key, Admission admission);
  void unclaimed(const std::string& key);
  void answer(std::uint64_t id, int error);
  void send_answers();

  Context& context_;
  Fd link_;
  std::uint32_t watched_ = EPOLLIN;
  std::deque<std::string> answers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Pending>> pending_;
  std::unordered_map<std::string, std::unique_ptr<Expected>> expected_;
  std::unordered_map<std::uint64_t, std::string> expected_by_id_;  // its key
};

}  // namespace agentrun::egress
