// Builds a sandbox without a command, to test whether this host can.
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>

#include <agentrun/supervisor.h>
#include <agentrun/sys/error.h>

namespace agentrun::supervisor {

namespace {

class EmptyDirectory {
 public:
  EmptyDirectory() : path_((std::filesystem::temp_directory_path() / "agent-run-doctor-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw SysError(errno, "mkdtemp", path_);
  }
  ~EmptyDirectory() { ::rmdir(path_.c_str()); }
  EmptyDirectory(const EmptyDirectory&) = delete;
  EmptyDirectory& operator=(const EmptyDirectory&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace

void try_sandbox(const Places& places, Trial trial) {
  check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");  // as run() does
  const EmptyDirectory directory;
  Options options;
  options.workspace = directory.path();
  options.argv = {"true"};
  Prepared prepared = prepare(options, places);
  prepared.plan.terminal = prepared.plan.terminal_held_back = false;
  if (trial == Trial::floor) prepared.plan.filter = filter::Variant::agent_floor_only;
  sandbox::Sandbox::start(prepared.plan, sandbox::RulesetLoader(find_nft_program(places.state, places))).kill();
}

}  // namespace agentrun::supervisor
