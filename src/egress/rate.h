// A token bucket: what one may do so many times a second.
#pragma once

#include <algorithm>
#include <cstdint>

namespace agentrun::egress {

class Rate {
 public:
  Rate(std::int64_t per_second, std::int64_t burst) : per_second_(per_second), burst_(burst), tokens_(burst * unit) {}
  /// May it be done once more? `now_ns` never runs back.
  bool take(std::int64_t now_ns) noexcept {
    if (last_ != 0) tokens_ = std::min(burst_ * unit, tokens_ + std::min(now_ns - last_, unit) * per_second_);
    last_ = now_ns;
    if (tokens_ < unit) return false;
    tokens_ -= unit;
    return true;
  }

 private:
  static constexpr std::int64_t unit = 1'000'000'000;  // a token, in nanoseconds of a rate of one
  std::int64_t per_second_, burst_, tokens_, last_ = 0;
};

}  // namespace agentrun::egress
