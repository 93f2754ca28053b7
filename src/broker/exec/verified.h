// Which executions were judged by what runs: a process that comes of one of them by fork need not be judged again, and
// must not be by its command line, which programs write over (setproctitle).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>

#include "broker/task/task.h"

namespace agentrun::broker {

/// One execution of an image: where the kernel put the parts of its memory, at random, as its own copy of the auxiliary
/// vector says (getauxval(3), /proc/<pid>/auxv): more than 40 bits. Threads and forked children have those of their
/// parent, until they execute something themselves. A program can write over its vector, but not over the kernel's
/// copy: that takes prctl(PR_SET_MM), which the filter refuses. A layout that is not random (Tasks::has_random_layout)
/// names no execution.
using Execution = std::array<std::uint64_t, 6>;

/// The execution that the task is of; nullopt when it cannot be read. Who is not known is judged by its command line
/// anew.
std::optional<Execution> execution_of(const Task& task);

/// Bounded: of two generations the older one is forgotten. An execution that is asked for stays in the younger.
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
