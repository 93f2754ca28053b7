// Tells whether only the user could have decided what a name leads to. Profiles, their parents, the journal's
// directory, sinks and the files that these name decide what a run may do or who reads its records. No agent, of an
// earlier run or of this one, may change them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <agentrun/policy.h>
#include "supervisor/host/host_paths.h"
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

class UsersOwn {
 public:
  /// `kept`: directories that no run lets its agent change, whatever it grants (policy::HostFacts::own). All are
  /// borrowed.
  UsersOwn(HostPaths& host, const AgentWritableDirs& written, const std::vector<std::string>& kept)
      : host_(host), written_(written), kept_(kept) {}

  /// How an agent could have decided what stands at `path` (absolute; it need not exist): a clause, "lies in /x, where
  /// …"; empty when the name is the user's alone. With a policy, what the run itself lets its agent change counts too.
  [[nodiscard]] std::string fault(const std::string& path, const policy::Policy* policy = nullptr) const;
  /// The same of the links on the way only: enough for what is proven by its content (a pin's digest).
  [[nodiscard]] std::string fault_on_the_way(const std::string& path) const;

 private:
  [[nodiscard]] std::string earlier(std::string_view place, std::string_view how) const;
  /// Is the file one that an agent could write by another name? Looked for only when it has several.
  [[nodiscard]] std::string second_name(const std::string& file) const;
  [[nodiscard]] std::string now(std::string_view place, const policy::Policy& policy) const;

  HostPaths& host_;
  const AgentWritableDirs& written_;
  const std::vector<std::string>& kept_;
};

}  // namespace agentrun::supervisor
