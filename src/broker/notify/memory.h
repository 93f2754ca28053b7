// Copies the agent's memory once. Every decision uses the copy.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

namespace agentrun::broker {

/// Reads the memory of one task. An interface, so that tests and fuzzers decode without a process.
class Memory {
 public:
  virtual ~Memory() = default;

  /// Copies up to `size` bytes from `address`, until the first unreadable page. Returns the count (0…size), or −ESRCH
  /// (the task is gone), −EPERM (its memory may not be read).
  [[nodiscard]] virtual ssize_t read(std::uint64_t address, void* to, std::size_t size) const = 0;

  /// Copies all `size` bytes. Returns 0, or EFAULT, ESRCH, EPERM.
  [[nodiscard]] int copy(std::uint64_t address, void* to, std::size_t size) const;
  /// Copies a string of at most `limit` bytes with its NUL. Returns 0, or EFAULT (as the kernel does: only when no NUL
  /// comes before the bad page), ENAMETOOLONG, ESRCH, EPERM.
  [[nodiscard]] int copy_string(std::uint64_t address, std::size_t limit, std::string& to) const;
};

/// Reads by process_vm_readv(2), in pieces that never cross a page, so that a fault shows how far the read came. Raises
/// CAP_SYS_PTRACE only around a read that was refused without it (non-dumpable targets, Yama).
class TaskMemory final : public Memory {
 public:
  explicit TaskMemory(pid_t tid) : tid_(tid) {}
  [[nodiscard]] ssize_t read(std::uint64_t address, void* to, std::size_t size) const override;

 private:
  pid_t tid_;
};

/// Makes CAP_SYS_PTRACE effective in this thread for the object's lifetime. confine_broker.cc left the capability
/// permitted.
class PtraceRaised {
 public:
  PtraceRaised() noexcept;
  ~PtraceRaised();
  PtraceRaised(const PtraceRaised&) = delete;
  PtraceRaised& operator=(const PtraceRaised&) = delete;
};

/// Runs `call`, which returns < 0 with errno. If the call is refused, runs it once more with CAP_SYS_PTRACE effective.
template <typename F>
auto with_ptrace(F&& call) {
  auto result = call();
  if (result < 0 && (errno == EPERM || errno == EACCES)) {
    const PtraceRaised raised;
    result = call();
  }
  return result;
}

}  // namespace agentrun::broker
