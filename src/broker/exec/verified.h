// Remembers verified executions. A process forked from one need not be judged again, and must not be judged by its
// command line, which programs overwrite (setproctitle).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>

#include "broker/task/task.h"

namespace agentrun::broker {

/// One execution of an image: the random addresses at which the kernel placed its memory, more than 40 bits, from the
/// kernel's copy of the auxiliary vector (getauxval(3), /proc/<pid>/auxv). Threads and forked children share the
/// addresses of their parent until they call execve themselves. A program can overwrite its own vector, but not the
/// kernel's copy: that takes prctl(PR_SET_MM), which the filter refuses. A layout that is not random
/// (Tasks::has_random_layout) identifies no execution.
using Execution = std::array<std::uint64_t, 6>;

/// The task's execution; nullopt when it cannot be read. A task of no known execution is judged by its command line.
std::optional<Execution> execution_of(const Task& task);

/// A bounded set of two generations: the younger, when full, replaces the older. A look-up moves an execution to the
/// younger.
class Verified {
 public:
  [[nodiscard]] bool contains(const Execution& execution);
  void add(const Execution& execution);

 private:
  void insert(const Execution& execution);

  static constexpr std::size_t limit = 32768;  // of a generation
  std::mutex mutex_;
  std::set<Execution> young_, old_;
};

}  // namespace agentrun::broker
