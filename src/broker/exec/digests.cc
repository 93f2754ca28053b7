// Computes the SHA-256 of a program, once per content.
#include "broker/exec/digests.h"

#include <sys/stat.h>

#include <agentrun/journal.h>
#include <agentrun/sys/process.h>

namespace agentrun::broker {

namespace {
constexpr std::size_t most_known = 256;
constexpr std::int64_t settling_ns = 3'000'000'000;
}  // namespace

std::string Digests::of(const Fd& file) {
  const auto identity = [&](Identity& to) {
    struct stat st {};
    if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
    to = {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size), static_cast<std::uint64_t>(st.st_ctim.tv_sec),
          static_cast<std::uint64_t>(st.st_ctim.tv_nsec)};
    return true;
  };
  Identity before{}, after{};
  if (!identity(before)) return {};
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = known_.find(before); found != known_.end()) return found->second;
  }
  const auto hash = journal::sha256_file(file);
  if (!hash || !identity(after) || before != after) return {};
  // Two changes within one tick of the file system's clock have the same ctime. So the digest of a file that changed
  // just now is not kept.
  const bool settled = wall_clock_ns() - static_cast<std::int64_t>(before[3]) * 1'000'000'000 > settling_ns;
  if (!settled) return journal::hex(*hash);
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= most_known) known_.clear();
  return known_[before] = journal::hex(*hash);
}

}  // namespace agentrun::broker
