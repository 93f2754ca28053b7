// A pipe through which the bytes of a long flow go from socket to socket without a copy (splice(2)).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>

#include <agentrun/sys/fd.h>

namespace agentrun::egress {

class Pipe {
 public:
  /// Null when none is to be had: too many are there already, or the user's share of pipe pages is used up (pipe(7)).
  static std::unique_ptr<Pipe> make();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  /// As read(2) and write(2) of a socket that does not block: the number of bytes, 0 at its end, -1 with errno.
  ssize_t fill(const Fd& from) noexcept;
  ssize_t drain(const Fd& to) noexcept;
  [[nodiscard]] bool empty() const noexcept { return held_ == 0; }

  static constexpr std::size_t most = 64;               // at one time
  static constexpr std::size_t descriptors = 2 * most;  // that all of them take

 private:
  Pipe(Fd in, Fd out) noexcept;
  Fd in_, out_;
  std::size_t held_ = 0;
};

}  // namespace agentrun::egress
