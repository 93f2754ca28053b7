// Rule V4: boot time never runs backwards in records that one thread wrote in order.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "journal/format/lines.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

/// The supervisor writes the records of the journal's own life (open, tick, rotate, close) in order, and nothing is
/// decided before journal.open: a violation is a fault. The decisions about one task (`tid`) are in order, too, but a
/// task that is killed inside a call, or replaced by execve(2) in another thread, can leave a late record. The agent
/// chooses when, so this is a remark: otherwise the agent could discredit its own journal.
class Clocks {
 public:
  explicit Clocks(Findings& findings) : findings_(&findings) {}
  void see(const Line& line);
  /// True when the last record was journal.close.
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  /// The type of the last record, with its quotes. Valid as long as the record's line.
  [[nodiscard]] std::string_view type() const noexcept { return type_; }

 private:
  void see_gap(const Line& line, std::int64_t tb);
  void see_wall_clock(const Line& line, std::int64_t tb);
  void see_life(const Line& line, std::int64_t tb);
  void see_task(const Line& line, std::int64_t tid, std::int64_t tb);

  Findings* findings_;
  std::optional<std::int64_t> opened_;  // tb of journal.open
  std::optional<std::int64_t> life_;    // tb of the last record of the journal's own life
  std::unordered_map<std::int64_t, std::int64_t> tasks_;
  std::optional<std::int64_t> latest_;  // the largest tb so far
  std::optional<std::int64_t> offset_;  // of the wall clock to boot time, in the last record of the journal's own life
  bool gap_ = false;
  bool remarked_ = false;
  bool closed_ = false;
  std::string_view type_;
};

}  // namespace agentrun::journal
