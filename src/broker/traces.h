// Collects what a run leaves behind that a person should check before the host's tools use it. Works by the names in
// decided calls, so that nothing has to be searched at the end.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include <agentrun/broker.h>

namespace agentrun::broker {

struct Call;

/// Shared by the receivers.
class Traces {
 public:
  using Found = std::set<std::pair<Trace, std::string>>;
  /// What the command created or changed in a directory that may be a git repository: its settings or hooks, or another
  /// part of it.
  enum class Part : std::uint8_t { other, settings };
  using Touched = std::map<std::string, Part>;
  /// Notes a decided call. Most calls leave no trace and cost one comparison of names.
  void note(const Call& c);
  /// All traces so far. Bounded: Trace::more says that there were more.
  [[nodiscard]] Found found() {
    const std::scoped_lock lock(mutex_);
    return found_;
  }
  [[nodiscard]] Touched touched() {
    const std::scoped_lock lock(mutex_);
    return touched_;
  }

 private:
  void add(Trace kind, const std::string& path);
  void touch(const std::string& directory, Part part);
  void touch_parts(const std::string& path);
  void follow_rename(const std::string& from, const std::string& to);

  std::mutex mutex_;
  Found found_;
  Touched touched_;
};

}  // namespace agentrun::broker
