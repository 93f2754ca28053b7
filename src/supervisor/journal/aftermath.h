// What is said at the end of a run of what it leaves behind: repositories, rebases and instructions that the host's
// tools or the next agent obey. The broker saw the names; here it is looked whether they stand at the end.
#pragma once

#include <string>
#include <vector>

#include <agentrun/broker.h>

namespace agentrun::supervisor {

class Aftermath {
 public:
  Aftermath();
  void add(const broker::Event& event);
  /// Once nothing of the sandbox lives. One sentence for each kind, with the first few paths. Looks at paths that the
  /// agent named, without following a link or opening anything.
  [[nodiscard]] std::vector<std::string> sentences() const;

 private:
  struct Found {
    broker::Trace kind;
    std::string path;
  };
  [[nodiscard]] bool stands(const Found& found) const;
  [[nodiscard]] bool has(broker::Trace kind) const;
  [[nodiscard]] bool index_above() const;
  [[nodiscard]] std::string paths_of(std::initializer_list<broker::Trace> kinds) const;

  std::int64_t began_;  // wall clock, ns
  std::vector<Found> found_;
};

}  // namespace agentrun::supervisor
