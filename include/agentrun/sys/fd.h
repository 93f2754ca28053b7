// One owner for each kernel resource.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace agentrun {

/// A move-only owner of a value that must be released exactly once.
/// `Traits` names the value's type, the value that means "nothing", and how to release it:
///   struct Traits { using value_type = …; static constexpr value_type empty; static void release(value_type) noexcept;
///   };
template <typename Traits>
class Owned {
 public:
  using value_type = typename Traits::value_type;

  Owned() noexcept = default;
  explicit Owned(value_type value) noexcept : value_(value) {}
  Owned(Owned&& other) noexcept : value_(other.release()) {}
  Owned& operator=(Owned&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { reset(); }

  [[nodiscard]] value_type get() const noexcept { return value_; }
  explicit operator bool() const noexcept { return value_ != Traits::empty; }

  /// Gives up ownership. The caller must release the value.
  [[nodiscard]] value_type release() noexcept { return std::exchange(value_, Traits::empty); }

  /// Releases the owned value, then owns `value`.
  void reset(value_type value = Traits::empty) noexcept {
    const value_type old = std::exchange(value_, value);
    if (old != Traits::empty && old != value) Traits::release(old);
  }

 private:
  value_type value_ = Traits::empty;
};

struct FdTraits {
  using value_type = int;
  static constexpr int empty = -1;
  /// close(2) is not repeated on EINTR: Linux has released the descriptor by then (close(2), NOTES). Preserves errno.
  static void release(int fd) noexcept;
};

/// An owned file descriptor. Every descriptor in this project is O_CLOEXEC.
using Fd = Owned<FdTraits>;

}  // namespace agentrun
