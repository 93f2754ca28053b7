// A state directory that a start or a command makes where it is not there, and takes away again when nothing came of
// it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace agentrun::supervisor {

/// The state directory, made before the view is planned: what does not exist yet could not be hidden. What it made goes
/// with it when the run is refused.
class StateDirectory {
 public:
  /// Throws Refusal. `option`: the one that names another.
  explicit StateDirectory(std::string path, std::string_view option = "--journal");
  ~StateDirectory();
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;
  void keep() noexcept { made_ = 0; }
  [[nodiscard]] bool is_new() const noexcept { return made_ > 0; }

 private:
  std::string path_;
  std::size_t made_;
};

/// Where other runs look: the usual one when --journal names another, and that of the account, whatever HOME says. They
/// remember this run's own, and where HOME is the account's also what its agent may write. Who cannot make them has no
/// such runs. Throws SysError.
void make_other_state(const std::string& path);

}  // namespace agentrun::supervisor
