// The agent's memory, copied once. Everything that is decided is decided on the copy.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

namespace agentrun::broker {

/// Reads memory of one task. An interface, so that tests and fuzzers can decode without a process.
class Memory {
 public:
  virtual ~Memory() = default;

  /// Copies as many of the `size` bytes at `address` as are readable before the first unreadable page.
  /// Returns the count (0…size), or −errno: −ESRCH the task is gone, −EPERM it may not be read.
  [[nodiscard]] virtual ssize_t read(std::uint64_t address, void* to, std::size_t size) const = 0;

  /// All `size` bytes: 0, or EFAULT, ESRCH, EPERM.
  [[nodiscard]] int copy(std::uint64_t address, void* to, std::size_t size) const;
  /// A string of at most `limit` bytes with its NUL: 0, or EFAULT (as the kernel: only when no NUL came before the bad
  /// page), ENAMETOOLONG, ESRCH, EPERM.
  [[nodiscard]] int copy_string(std::uint64_t address, std::size_t limit, std::string& to) const;
};

/// process_vm_readv(2), in pieces that never cross a page, so that a fault shows how far it came. CAP_SYS_PTRACE is
/// raised only around a read that was refused without it (non-dumpable targets, Yama).
class TaskMemory final : public Memory {
 public:
  explicit TaskMemory(pid_t tid) : tid_(tid) {}
  [[nodiscard]] ssize_t read(std::uint64_t address, void* to, std::size_t size) const override;

 private:
  pid_t tid_;
};

/// Makes CAP_SYS_PTRACE effective in this thread while it lives; confine_broker.cc left it permitted.
class PtraceRaised {
 public:
  PtraceRaised() noexcept;
  ~PtraceRaised();
  PtraceRaised(const PtraceRaised&) = delete;
  PtraceRaised& operator=(const PtraceRaised&) = delete;
};

/// Runs `call` (which returns < 0 with errno) once more with CAP_SYS_PTRACE effective when it was refused without it.
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
