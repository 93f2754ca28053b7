// Between the injection of a descriptor and the close of the broker's copy the broker too has the file open, and an
// execve of it, written and closed by the agent in that moment, would fail with ETXTBSY. So an execve waits for the
// copies that were in hand when it came.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace agentrun::broker {

class InHand {
 public:
  explicit InHand(std::size_t receivers) : turns_(receivers) {}

  /// By the receiver of that number, around injecting and closing.
  void begin(std::size_t receiver) noexcept { turns_[receiver].fetch_add(1); }
  void end(std::size_t receiver) noexcept {
    turns_[receiver].fetch_add(1);
    turns_[receiver].notify_all();
  }
  /// Returns when all that was in hand at the call is closed; what comes later is not waited for. Never called between
  /// begin() and end().
  void wait_for_all() const noexcept {
    for (const auto& turn : turns_) {
      const unsigned seen = turn.load();
      if (seen % 2 == 1) turn.wait(seen);
    }
  }

 private:
  std::vector<std::atomic<unsigned>> turns_;  // odd: the receiver has one in hand
};

}  // namespace agentrun::broker
