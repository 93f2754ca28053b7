// Finding records, in journals of any length and in those that still grow.
#pragma once

#include <agentrun/journal.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::journal {

/// Which records are wanted: each list that is not empty must have one that fits.
struct Filter {
  std::vector<std::string> types, acts, classes;  // as written
  // Of names that are not UTF-8, a byte that is part of no character is matched as \xNN.
  std::vector<std::string>
      paths;  // patterns of fnmatch(3), '*' also matches '/': path, to, exe of exec.verified, dst, host
  std::vector<std::string> processes;                 // a number: pid or tid; else a pattern of exe or comm
  std::int64_t since = INT64_MIN, until = INT64_MAX;  // t, ns

  [[nodiscard]] bool fits(std::string_view line) const;
};

/// A time for --since and --until: RFC 3339 in UTC ("2026-11-22T10:30:00Z", or its beginning up to the end of a
/// number), or so long ago: "90s", "15m", "2h", "7d". Throws Refusal.
std::int64_t time_of(std::string_view text, std::int64_t now_ns);

/// Reads the records of a journal that may still be written.
class Follower {
 public:
  explicit Follower(const std::filesystem::path& run_directory);
  /// Of a run whose folder is open for reading.
  explicit Follower(Fd directory);
  Follower(Follower&&) noexcept;
  ~Follower();
  /// The next whole record, valid until the next call; false when there is none at present. Throws SysError.
  bool next(std::uint64_t& index, std::string_view& line);
  /// Nobody writes any more: what there is, is all. A run that was broken off may not have sealed its last segments.
  void set_over() noexcept;
  /// The last record seen was journal.close or journal.fail: nothing follows.
  [[nodiscard]] bool ended() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrun::journal
