// Recording comes before acting: only the record of an allowed call makes the Permit that every act demands.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "broker/calls/call.h"

namespace agentrun::broker {

/// Where decisions are recorded.
class DecisionLog {
 public:
  /// Records the decision. False when it could not be written: then nothing may be allowed any more.
  [[nodiscard]] virtual bool decision(const Call& call) = 0;
  /// An allowed act that then failed by itself: the record of the decision was already written.
  [[nodiscard]] virtual bool outcome(const Outcome& call, int error) = 0;

 protected:
  ~DecisionLog() = default;
};

class Recorded;
/// Records the decision on `call`, with `effect` as the journal's word for what follows when it is allowed.
[[nodiscard]] Recorded record(DecisionLog& log, Call& call, std::string_view effect);

/// The record of an allowed call is on its way to the disk. Made by record() alone; for this one call.
class Permit {
 public:
  /// Of the notification that was recorded.
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

 private:
  friend Recorded record(DecisionLog& log, Call& call, std::string_view effect);
  explicit Permit(std::uint64_t id) : id_(id) {}
  std::uint64_t id_;
};

/// A permit, or the errno of a call that must not be performed: EACCES, denied; EIO, the record could not be written.
class Recorded {
 public:
  [[nodiscard]] explicit operator bool() const noexcept { return permit_.has_value(); }
  /// Only when there is one.
  [[nodiscard]] const Permit& permit() const { return permit_.value(); }
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  friend Recorded record(DecisionLog& log, Call& call, std::string_view effect);
  explicit Recorded(const Permit& permit) : permit_(permit) {}
  explicit Recorded(int error) : error_(error) {}
  std::optional<Permit> permit_;
  int error_ = 0;
};

}  // namespace agentrun::broker
