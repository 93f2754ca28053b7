// The order of record types: key.rotate ends an epoch (V2), journal.close is last and counts the records (V5).
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
  /// `ends`: the sizes that closing checkpoints of epochs have. chain.h checks those.
  Course(std::set<std::uint64_t> ends, Findings& findings) : ends_(std::move(ends)), findings_(&findings) {}
  /// Takes the records in order. `type` has its quotes.
  void see(const Line& line, std::string_view type);
  /// Call it at the end. A key.rotate behind the signed records is not judged.
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
