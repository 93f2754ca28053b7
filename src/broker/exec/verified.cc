// Remembers verified executions by marks that only the kernel writes.
#include "broker/exec/verified.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "broker/notify/memory.h"

namespace agentrun::broker {

namespace {
// Addresses only: all other entries are the same for every execution of an image. A static program has no loader
// (AT_BASE), and a program that is not position-independent has fixed addresses. Then the stack and the vDSO remain.
constexpr std::array<std::uint64_t, std::tuple_size_v<Execution>> places = {AT_RANDOM, AT_EXECFN, AT_SYSINFO_EHDR,
                                                                            AT_PHDR,   AT_ENTRY,  AT_BASE};
}  // namespace

std::optional<Execution> execution_of(const Task& task) {
  const Fd fd(with_ptrace([&] { return ::openat(task.proc.get(), "auxv", O_RDONLY | O_CLOEXEC); }));
  if (!fd) return std::nullopt;
  std::array<std::uint64_t, 2 * 64> vector{};  // pairs of type and value (proc(5)); the kernel writes about twenty
  const ssize_t n = ::read(fd.get(), vector.data(), sizeof vector);
  if (n <= 0) return std::nullopt;
  const std::size_t words = static_cast<std::size_t>(n) / sizeof vector[0];
  Execution execution{};
  bool known = false;
  for (std::size_t i = 0; i + 1 < words; i += 2) {
    const auto place = std::find(places.begin(), places.end(), vector[i]);
    if (place == places.end()) continue;
    execution[static_cast<std::size_t>(place - places.begin())] = vector[i + 1];
    known |= vector[i] == AT_RANDOM;
  }
  if (!known) return std::nullopt;
  return execution;
}

bool Verified::contains(const Execution& execution) {
  const std::scoped_lock lock(mutex_);
  if (young_.contains(execution)) return true;
  if (!old_.contains(execution)) return false;
  insert(execution);
  return true;
}

void Verified::add(const Execution& execution) {
  const std::scoped_lock lock(mutex_);
  insert(execution);
}

void Verified::insert(const Execution& execution) {
  if (young_.size() >= limit) old_ = std::exchange(young_, {});
  young_.insert(execution);
}

}  // namespace agentrun::broker
