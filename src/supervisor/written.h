// Which folders agents could ever write. A link that stands in one of them may be an agent's, and what it leads to is not what
// the user meant when they name it: as a workspace, in a grant, or by starting below it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace agentrun::supervisor {

/// What a state directory remembers, a file each: the directories that agents could write, and the state directories that runs
/// kept elsewhere (--journal), whose keys no later run may show.
enum class Memory : std::uint8_t { written, states };

class WrittenFolders {
 public:
  /// Reads what runs have remembered in these state folders; one that is not there has nothing. Throws Refusal when what is
  /// there cannot be read.
  explicit WrittenFolders(const std::vector<std::string>& states, Memory memory = Memory::written);
  /// Does the canonical path lie in such a folder?
  [[nodiscard]] bool holds(std::string_view path) const;
  /// The one that it lies in, the deepest; empty for none. "/" is not told: who let an agent change the whole host
  /// (weaken: [host-root]) has said that nothing of it is theirs alone.
  [[nodiscard]] std::string_view holder(std::string_view path) const;
  [[nodiscard]] const std::vector<std::string>& folders() const noexcept { return folders_; }
  /// Adds to what a state folder remembers, before an agent may write there. Throws SysError.
  void remember(const std::string& state, const std::vector<std::string>& folders);

 private:
  Memory memory_;
  std::vector<std::string> folders_;
};

}  // namespace agentrun::supervisor
