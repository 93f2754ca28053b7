// Where records may stand (rule V2: key.rotate, V5: the last record), and that journal.close counts what is there (V5).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "journal/format/lines.h"
#include "journal/verify/findings.h"

namespace agentrun::journal {

class Course {
 public:
  /// `ends`: the sizes for which there is a closing checkpoint of an epoch; whether those hold is said elsewhere.
  Course(std::set<std::uint64_t> ends, Findings& findings) : ends_(std::move(ends)), findings_(&findings) {}
  /// The records in order; `type` as it is written, with its quotes.
  void see(const Line& line, std::string_view type);
  /// At the end: of a key.rotate behind what is signed nothing can be said.
  void judge(std::uint64_t signed_records) const;

 private:
  enum class End : std::uint8_t { none, closed, failed };
  struct Stray {
    std::uint64_t index;
    std::string where;
  };
  void see_end(const Line& line, std::string_view type);
  void compare(const Line& line);

  std::set<std::uint64_t> ends_;
  Findings* findings_;
  End end_ = End::none;
  bool followed_ = false;
  std::optional<Stray> stray_;  // the first key.rotate that ends no epoch
  std::int64_t decisions_ = 0, refused_ = 0, flows_ = 0, questions_ = 0;
};

}  // namespace agentrun::journal
