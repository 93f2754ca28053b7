// Which executions were judged by what runs: a process that comes of one of them by fork need not be judged again, and must
// not be by its command line, which programs write over (setproctitle).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>

#include "broker/task.h"

namespace agentrun::broker {

/// One execution of an image: the 16 random bytes that the kernel puts into the memory of each (AT_RANDOM, getauxval(3)).
/// Threads and forked children have those of their parent, until they execute something themselves.
using Execution = std::array<std::uint64_t, 2>;

/// The execution that the task is of; nullopt when its memory does not tell. A program can change its own, as it can its
/// command line: then it is judged by that once more.
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
