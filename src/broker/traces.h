// What a run leaves behind that a person should look at before the host's tools do: judged by name, from the calls that were
// decided, so that nothing has to be searched at the end.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <agentrun/broker.h>

namespace agentrun::broker {

struct Case;

/// Shared by the receivers.
class Traces {
 public:
  struct Found {
    Trace kind;
    std::string path;
  };
  /// Of this decided call, what was not found before: mostly nothing, at the cost of comparing a name.
  std::vector<Found> take(const Case& c);

 private:
  void note(Trace kind, const std::string& path, std::vector<Found>& into);
  void follow_rename(const std::string& from, const std::string& to, std::vector<Found>& into);

  std::mutex mutex_;
  std::set<std::pair<Trace, std::string>> known_;
};

}  // namespace agentrun::broker
