// Which directories agents could ever write. A link that stands in one of them may be an agent's, and what it leads to
// is not what the user meant when they name it: as a workspace, in a grant, or by starting below it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <agentrun/sys/mount_names.h>
#include "supervisor/state/object_id.h"

namespace agentrun::supervisor {

/// What a state directory remembers, a file each: the directories that agents could write, and the state directories
/// that runs kept elsewhere (--journal), whose keys no later run may show.
enum class Memory : std::uint8_t { agent_writable, states };

/// A directory by the name that it had, and as the object that it was: it may have been moved since.
struct Remembered {
  std::string path;
  std::optional<ObjectId> id;
};

class AgentWritableDirs {
 public:
  /// Reads what runs have remembered in these state directories; one that is not there has nothing. Throws Refusal when
  /// what is there cannot be read.
  explicit AgentWritableDirs(const std::vector<std::string>& states, Memory memory = Memory::agent_writable);
  /// Does the canonical path lie in such a directory, by its name, by another one that a mount gives it or by one of
  /// the directories on the way? "/" is not counted: who let an agent change the whole host (weaken: [host-root]) has
  /// said that nothing of it is theirs alone.
  [[nodiscard]] bool holds(std::string_view path) const;
  /// The one that it lies in, the deepest, by its name of today; empty for none.
  [[nodiscard]] std::string_view holder(std::string_view path) const;
  /// Is what stands at this path one of them, whatever its name was?
  [[nodiscard]] bool is_object(const std::string& path) const;
  [[nodiscard]] const std::vector<Remembered>& directories() const noexcept { return directories_; }
  /// Adds to what a state directory remembers, before an agent may write there. Throws SysError.
  void remember(const std::string& state, const std::vector<std::string>& directories);

 private:
  [[nodiscard]] std::string_view holder_by_name(std::string_view path) const;
  [[nodiscard]] bool is_known(const ObjectId& id) const;
  /// The deepest directory on the way to `path`, itself included, that is one of the remembered objects. Empty: none.
  [[nodiscard]] std::string_view moved_holder(std::string_view path) const;
  [[nodiscard]] bool knows(const Remembered& directory) const;
  void index_from(std::size_t first);

  Memory memory_;
  std::vector<Remembered> directories_;
  std::unordered_multimap<std::uint64_t, std::size_t> by_number_;  // inode number → index in directories_
  mutable std::unordered_map<std::string, std::optional<ObjectId>> looked_at_;
  mutable std::optional<MountNames> mounts_;  // read when they are first needed
};

}  // namespace agentrun::supervisor
