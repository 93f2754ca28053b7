// What a run leaves behind that a person should look at before the host's tools do: judged by name, from the calls that were
// decided, so that nothing has to be searched at the end.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <utility>

#include <agentrun/broker.h>

namespace agentrun::broker {

struct Case;

/// Shared by the receivers.
class Traces {
 public:
  using Found = std::set<std::pair<Trace, std::string>>;
  /// Of this decided call: mostly nothing, at the cost of comparing a name.
  void note(const Case& c);
  /// All of them so far. Bounded; Trace::more is among them when there were more.
  [[nodiscard]] Found found() {
    const std::scoped_lock lock(mutex_);
    return found_;
  }

 private:
  void add(Trace kind, const std::string& path);
  void follow_rename(const std::string& from, const std::string& to);

  std::mutex mutex_;
  Found found_;
};

}  // namespace agentrun::broker
