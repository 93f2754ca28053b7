// What the verifier has to say, and what it makes of it: the worst finding decides.
#pragma once

#include <agentrun/journal.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace agentrun::journal {

class Findings {
 public:
  explicit Findings(Report& report) : report_(&report) {}
  /// The evidence contradicts itself.
  void fault(std::string_view rule, std::string where, std::string message) {
    faulty_ = true;
    add(rule, std::move(where), std::move(message));
  }
  /// Somebody else has seen another journal than this: `how` is truncated or forked. The first one counts.
  void elsewhere(Status how, std::string_view rule, std::string where, std::string message) {
    if (!contradicted_) contradicted_ = how;
    add(rule, std::move(where), std::move(message));
  }
  /// Somebody vouches for something whom the caller does not trust, and asked about.
  void stranger(std::string_view rule, std::string where, std::string message) {
    stranger_ = true;
    add(rule, std::move(where), std::move(message));
  }
  /// Something that a complete journal has is missing.
  void gap(std::string_view rule, std::string where, std::string message) {
    gaps_ = true;
    add(rule, std::move(where), std::move(message));
  }
  /// Worth knowing; changes nothing.
  void remark(std::string_view rule, std::string where, std::string message) {
    add(rule, std::move(where), std::move(message));
  }
  [[nodiscard]] bool faulty() const noexcept { return faulty_; }
  [[nodiscard]] std::optional<Status> contradicted() const noexcept { return contradicted_; }
  [[nodiscard]] bool gaps() const noexcept { return gaps_; }
  [[nodiscard]] bool strange() const noexcept { return stranger_; }

 private:
  // A journal that is wrong everywhere needs no list of every place.
  static constexpr std::size_t max_findings = 100;
  void add(std::string_view rule, std::string where, std::string message) {
    if (report_->findings.size() >= max_findings) return;
    report_->findings.push_back({std::string(rule), std::move(where), std::move(message)});
  }

  Report* report_;
  bool faulty_ = false;
  std::optional<Status> contradicted_;
  bool stranger_ = false;
  bool gaps_ = false;
};

}  // namespace agentrun::journal
