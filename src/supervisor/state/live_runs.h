// Running runs announce to each other what each shows to its agent, and which directories and files have its journal
// and keys. A start must not show those of another run, and must not put its own where another run shows them.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/mount_names.h>
#include "supervisor/state/object_id.h"

namespace agentrun::supervisor {

/// The announcement of a run.
struct LiveView {
  struct Place {
    std::string path;  // canonical
    std::optional<ObjectId> id;
  };
  std::vector<Place> own;      // its state directory, the files of its sinks
  std::vector<Place> shown;    // of the host
  std::vector<Place> scratch;  // private directories, which cover the host's
  std::vector<Place> hidden;
};

/// The announcement of this run, from its policy. `own` and `hidden` are paths, which need not exist.
LiveView live_view(const policy::Policy& policy, const std::vector<std::string>& own,
                   const std::vector<std::string>& hidden);

/// True when the view shows the object at a canonical path, or a part of it that is mounted elsewhere. Compares names,
/// and identities of the directories above.
bool shows(const LiveView& view, const std::string& path, const MountNames& mounts);

/// The announcements of running runs in these state directories. Throws Refusal when they cannot be read.
std::vector<LiveView> read_live_runs(const std::vector<std::string>& states);

/// This run's entry in each state directory, until the run ends. After kill -9 the next start removes it.
class LiveRun {
 public:
  /// Announces first and then reads, so that of two simultaneous starts one sees the other. `state` must be writable;
  /// skips those of `others` that are not. Throws Refusal (one run shows the other's files), SysError.
  LiveRun(const LiveView& view, const std::string& state, const std::vector<std::string>& others);
  /// The same for a command that shows nothing and writes state. None of `states` needs to be writable.
  LiveRun(const LiveView& view, const std::vector<std::string>& states);
  ~LiveRun();
  LiveRun(const LiveRun&) = delete;
  LiveRun& operator=(const LiveRun&) = delete;

 private:
  struct Entry {
    std::string path;
    Fd file;  // flock(2): held while the run lives
  };
  void announce(const std::string& state, const std::string& text);
  void announce_elsewhere(const std::string& state, const std::string& text);
  void look(const LiveView& view, const std::vector<std::string>& states) const;
  void withdraw() noexcept;
  std::vector<Entry> entries_;
};

}  // namespace agentrun::supervisor
