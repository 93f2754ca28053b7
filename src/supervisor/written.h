// Which folders agents could ever write. A link that stands in one of them may be an agent's, and what it leads to is not what
// the user meant when they name it: as a workspace, in a grant, or by starting below it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::supervisor {

class WrittenFolders {
 public:
  /// Reads what runs have remembered in these state folders; one that is not there has nothing. Throws Refusal when what is
  /// there cannot be read.
  explicit WrittenFolders(const std::vector<std::string>& states);
  /// Does the canonical path lie in such a folder?
  [[nodiscard]] bool holds(std::string_view path) const;
  /// Adds to what a state folder remembers, before an agent may write there. Throws SysError.
  void remember(const std::string& state, const std::vector<std::string>& folders);

 private:
  std::vector<std::string> folders_;
};

}  // namespace agentrun::supervisor
