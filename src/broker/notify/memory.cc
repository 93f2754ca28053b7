// Copies the agent's memory with process_vm_readv(2).
#include "broker/notify/memory.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace agentrun::broker {

namespace {

constexpr std::uint64_t page = 4096;

// Sets or clears the calling thread's effective SYS_PTRACE by capset(2). The permitted set stays SYS_PTRACE.
void set_ptrace(std::uint32_t effective) noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::uint32_t bit = 1U << CAP_SYS_PTRACE;
  std::array<__user_cap_data_struct, 2> data{};
  data[0] = {.effective = effective & bit, .permitted = bit, .inheritable = 0};
  ::syscall(SYS_capset, &header, data.data());
}

}  // namespace

PtraceRaised::PtraceRaised() noexcept {
  const int kept = errno;
  set_ptrace(~0U);
  errno = kept;
}

PtraceRaised::~PtraceRaised() {
  const int kept = errno;
  set_ptrace(0);
  errno = kept;
}

int Memory::copy(std::uint64_t address, void* to, std::size_t size) const {
  const ssize_t n = read(address, to, size);
  if (n < 0) return static_cast<int>(-n);
  return static_cast<std::size_t>(n) == size ? 0 : EFAULT;
}

int Memory::copy_string(std::uint64_t address, std::size_t limit, std::string& to) const {
  to.clear();
  std::array<char, page> piece;
  while (to.size() < limit) {
    // Read one page at a time: most strings end in the first, and a fault beyond the NUL must not count.
    const std::size_t rest_of_page = static_cast<std::size_t>(page - address % page);
    const std::size_t want = std::min(rest_of_page, limit - to.size());
    const ssize_t n = read(address, piece.data(), want);
    if (n < 0) return static_cast<int>(-n);
    const std::size_t got = static_cast<std::size_t>(n);
    if (const void* end = std::memchr(piece.data(), 0, got)) {
      to.append(piece.data(), static_cast<std::size_t>(static_cast<const char*>(end) - piece.data()));
      return 0;
    }
    if (got < want) return EFAULT;
    to.append(piece.data(), got);
    address += got;
  }
  return ENAMETOOLONG;
}

ssize_t TaskMemory::read(std::uint64_t address, void* to, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const std::uint64_t at = address + done;
    if (at < address) return static_cast<ssize_t>(done);  // wrapped around: nothing is mapped there
    const std::size_t want = std::min<std::size_t>(size - done, static_cast<std::size_t>(page - at % page));
    const iovec local{.iov_base = static_cast<char*>(to) + done, .iov_len = want};
    const iovec remote{.iov_base = reinterpret_cast<void*>(at), .iov_len = want};
    const ssize_t n = with_ptrace([&] { return ::process_vm_readv(tid_, &local, 1, &remote, 1, 0); });
    if (n < 0 && errno != EFAULT) return -errno;
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n < static_cast<ssize_t>(want)) break;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace agentrun::broker
