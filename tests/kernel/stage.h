// A stage for real sandboxes: a plan on a scratch workspace, and a runner that plays supervisor and broker in a child.
#pragma once

#include <agentrun/sandbox.h>

#include <functional>
#include <string>
#include <vector>

namespace agentrun::sandbox::test {

/// A folder below /tmp with a workspace in it, removed at the end.
class Stage {
 public:
  Stage();
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::string workspace() const { return folder_ + "/work"; }
  /// The plan of a small profile: /usr and what it needs to read, the workspace to write; `more` is further YAML.
  [[nodiscard]] Plan plan(const std::string& command, const std::string& more = {}) const;

 private:
  std::string folder_;
};

struct Result {
  int code = -1;          // the command's, 128+n, or 125 to 127
  std::string output;     // of the agent's standard output and error
  std::string report;     // what `drive` returned, or "stage call ERRNO" of a LaunchError
  bool survived = false;  // something still held the output 5 s after the end
};

/// Lets the agent go and waits for its end: "stopped " and "continued " for each such change; continues what stopped.
std::string drive_to_end(Sandbox& sandbox, int& code);
using Drive = std::function<std::string(Sandbox& sandbox, int& code)>;

/// Starts the plan in a child of the test, not dumpable as agent-run is, with a process that answers each notification
/// with CONTINUE. `delay_kill_us` ≥ 0: that child gets SIGKILL after so long.
Result run(const Plan& plan, const Drive& drive = drive_to_end, long delay_kill_us = -1);

/// The users to test as: ours, and a plain one when we are root.
struct User {
  unsigned uid, gid;
};
std::vector<User> users();

/// As run(), as another user.
Result run_as(const User& user, const Plan& plan, const Drive& drive = drive_to_end);
/// As run_as(), but descriptors 0, 1 and 2 are a terminal of 33 rows and 77 columns.
Result run_on_terminal(const User& user, const Plan& plan, const Drive& drive);

}  // namespace agentrun::sandbox::test
