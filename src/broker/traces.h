// What a run leaves behind that a person should look at before the host's tools do: judged by name, from the calls that
// were decided, so that nothing has to be searched at the end.
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
  /// Directories in which the command made or changed something that would be a part of a repository of git, if they
  /// are one: its settings or hooks, or another part.
  enum class Part : std::uint8_t { other, settings };
  using Touched = std::map<std::string, Part>;
  /// Of this decided call: mostly nothing, at the cost of comparing a name.
  void note(const Call& c);
  /// All of them so far. Bounded; Trace::more is among them when there were more.
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
