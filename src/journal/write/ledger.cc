// The ring of memory in which a writer announces its records to the sealer.
#include "journal/write/ledger.h"

#include <agentrun/sys/error.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace agentrun::journal {

namespace {

constexpr std::uint64_t wake_threshold = Ledger::capacity / 4;
constexpr timespec poll_interval{.tv_sec = 0, .tv_nsec = 200'000};

}  // namespace

/// Positions are bytes since the beginning. Only the writer changes `begun` and `finished`, only the sealer `taken`.
struct Ledger::Shared {
  alignas(64) std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> finished{0};
  alignas(64) std::atomic<std::uint64_t> taken{0};
  alignas(64) std::atomic<bool> called{false};
  alignas(64) char bytes[capacity];
};

Ledger::Ledger() : sealer_(::getpid()) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap", "ledger");
  (void)::madvise(memory, sizeof(Shared), MADV_DONTDUMP);
  shared_ = static_cast<Shared*>(memory);  // all members start as zero
}

Ledger::~Ledger() {
  if (::getpid() == sealer_) ::munmap(shared_, sizeof(Shared));  // in a child the address may be in use otherwise
}

int Ledger::begin(std::string_view line, const std::atomic<int>& stop) noexcept {
  if (line.size() > capacity) return EMSGSIZE;
  while (begun_ + line.size() - shared_->taken.load(std::memory_order_acquire) > capacity) {
    if (const int error = stop.load(std::memory_order_acquire); error != 0) return error;
    if (::getpid() == sealer_) return ENOBUFS;
    ::nanosleep(&poll_interval, nullptr);
  }
  const std::size_t at = begun_ % capacity;
  const std::size_t first = std::min(line.size(), capacity - at);
  std::memcpy(shared_->bytes + at, line.data(), first);
  std::memcpy(shared_->bytes, line.data() + first, line.size() - first);
  begun_ += line.size();
  shared_->begun.store(begun_, std::memory_order_release);
  return 0;
}

void Ledger::finish() noexcept {
  shared_->finished.store(begun_, std::memory_order_release);
}

bool Ledger::wants_sealer() noexcept {
  if (begun_ - shared_->taken.load(std::memory_order_relaxed) < wake_threshold) return false;
  return !shared_->called.load(std::memory_order_relaxed) && !shared_->called.exchange(true);
}

std::uint64_t Ledger::finished() const noexcept {
  return shared_->finished.load(std::memory_order_acquire);
}

bool Ledger::equals(std::uint64_t at, std::string_view bytes) const noexcept {
  const std::size_t begin = at % capacity;
  const std::size_t first = std::min(bytes.size(), capacity - begin);
  return std::memcmp(shared_->bytes + begin, bytes.data(), first) == 0 &&
         std::memcmp(shared_->bytes, bytes.data() + first, bytes.size() - first) == 0;
}

bool Ledger::announces(std::string_view bytes) const noexcept {
  const std::uint64_t there = shared_->begun.load(std::memory_order_acquire) - taken_;
  return there <= capacity && there >= bytes.size() && equals(taken_, bytes);
}

bool Ledger::take(std::string_view line) noexcept {
  if (!announces(line)) return false;
  taken_ += line.size();
  shared_->taken.store(taken_, std::memory_order_release);
  return true;
}

void Ledger::accept_next_call() noexcept {
  shared_->called.store(false);
}

std::string Ledger::rest() const {
  const std::uint64_t there = finished() - taken_;
  if (there > capacity) return {};
  std::string bytes(there, '\0');
  const std::size_t begin = taken_ % capacity;
  const std::size_t first = std::min<std::size_t>(bytes.size(), capacity - begin);
  std::memcpy(bytes.data(), shared_->bytes + begin, first);
  std::memcpy(bytes.data() + first, shared_->bytes, bytes.size() - first);
  return bytes.substr(0, bytes.rfind('\n') + 1);
}

void Ledger::withhold_from_children() noexcept {
  (void)::madvise(shared_, sizeof(Shared), MADV_DONTFORK);
}

}  // namespace agentrun::journal
