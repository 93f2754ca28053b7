// Runs that are going on know of each other: what each shows to its agent, and which directories and files hold the
// journals and keys of each. A start must neither show those of another run nor keep its own where another run shows
// them.
#pragma once

#include <string>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/mount_names.h>
#include "supervisor/state/object_id.h"

namespace agentrun::supervisor {

/// What a run has told.
struct LiveView {
  struct Place {
    std::string path;  // canonical
    std::optional<ObjectId> id;
  };
  std::vector<Place> own;      // its state directory, the files of its sinks
  std::vector<Place> shown;    // of the host
  std::vector<Place> scratch;  // private directories, which stand before what the host has there
  std::vector<Place> hidden;
};

/// What this run tells, from its policy. `own` and `hidden` are paths, which need not exist.
LiveView live_view(const policy::Policy& policy, const std::vector<std::string>& own,
                   const std::vector<std::string>& hidden);

/// Does such a view show what stands at a canonical path, or a part of it that is mounted elsewhere? By the names and
/// by the identities of what is above it.
bool shows(const LiveView& view, const std::string& path, const MountNames& mounts);

/// What the runs that are going on have told in these state directories. Throws Refusal when that cannot be read.
std::vector<LiveView> read_live_runs(const std::vector<std::string>& states);

/// This run's own entry in each state directory, until it ends; with kill -9 the next start takes it away.
class LiveRun {
 public:
  /// Tells first and looks then, so that of two starts at once one sees the other. `state`: must be writable; of
  /// `others` what cannot be written is left out. Throws Refusal (a run shows this one's own, or the other way round),
  /// SysError.
  LiveRun(const LiveView& view, const std::string& state, const std::vector<std::string>& others);
  /// The same of a command that shows nothing and keeps something; nobody needs to be able to write any of `states`.
  LiveRun(const LiveView& view, const std::vector<std::string>& states);
  ~LiveRun();
  LiveRun(const LiveRun&) = delete;
  LiveRun& operator=(const LiveRun&) = delete;

 private:
  struct Entry {
    std::string path;
    Fd file;  // flock(2): as long as it is held the run lives
  };
  void announce(const std::string& state, const std::string& text);
  void announce_elsewhere(const std::string& state, const std::string& text);
  void look(const LiveView& view, const std::vector<std::string>& states) const;
  void withdraw() noexcept;
  std::vector<Entry> entries_;
};

}  // namespace agentrun::supervisor
