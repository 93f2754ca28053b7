// Changes that a run made in overlays, held back from the host: kept, looked at, applied, thrown away. Works on the
// layers as they lie on disk; nothing is mounted. What lies there was made by the agent: no name of it is followed, no
// attribute of it trusted.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::review {

/// A folder of the host that a run sees as an overlay.
struct Target {
  std::string path;       // canonical
  std::uint64_t ino = 0;  // of the folder when the run began
};

/// What stands at a place, links not followed.
struct Entry {
  enum class Kind : std::uint8_t { absent, file, folder, link, special } kind = Kind::absent;
  mode_t mode = 0;         // permission bits, with set-id and sticky bits
  std::uint64_t size = 0;  // of a file
  std::string link;        // text of a symbolic link
};
std::string_view name(Entry::Kind) noexcept;

/// In which order a person should look. `trusted`: what the host would run or obey without being asked to.
enum class Group : std::uint8_t { deletion, trusted, ordinary };
std::string_view name(Group) noexcept;

/// The most that differs: content stands also for another kind, and for what came or went.
enum class Difference : std::uint8_t { none, time, mode, content };
std::string_view name(Difference) noexcept;

/// One difference between the host as it is now and what the agent saw at its end.
struct Change {
  std::size_t target = 0;  // index into Overlays::targets()
  std::string path;        // below the target, "src/main.c"
  Entry before, after;     // on the host; in the overlay
  Group group = Group::ordinary;
  Difference difference = Difference::content;
  bool conflict = false;    // the host changed it after the run had begun
  bool unreadable = false;  // refused only because this process may not read it: gain_reading()
  std::string refused;      // why it is not applied; empty: it can be
  std::string stands_for;  // a guarded name of the host that leads here; empty: none is known, or it is the path itself
};

/// classify.cc, pure: does the host run or obey a file by this name (".git/hooks/pre-commit", ".envrc")?
bool is_trusted_name(std::string_view path);
/// Where the change belongs: deletions; trusted names, removed ones too, executable files and links that lead to those
/// or out of the target; the rest. A folder that becomes something else is a deletion.
Group group_of(const Change& change, const Target& target);
/// May a link at `path` lead out of its target? Text with ".." behind a name is taken to do so.
bool leads_outside(std::string_view path, std::string_view text, const Target& target);
/// Deletions first, then trusted, then the rest; each by target and path.
void sort_for_review(std::vector<Change>& changes);

/// What is guarded on the host, by absolute paths, links not followed at their end. Each gives the guarded name, or
/// nothing.
struct HostNames {
  std::function<std::string(const std::string& path)> guarded;
  std::function<std::string(const std::string& path)>
      on_the_way;        // to what is guarded: it must stay the kind of thing that it is
  std::string left_out;  // what was not looked at, as a sentence; empty: all was
};
/// guarded.cc, pure: what such a name stands for is Group::trusted too; when something was not looked at, everything
/// but new folders.
void mark_guarded(std::vector<Change>& changes, const std::vector<Target>& targets, const HostNames& names);

/// repositories.cc, pure: what git has in progress when these are applied, a sentence each ("a rebase is in progress:
/// .git/rebase-merge").
std::vector<std::string> work_in_progress(std::span<const Change> changes);

/// choose.cc, pure: what of the changes is to be applied.
struct Choice {
  struct Named {
    std::size_t target = 0;
    std::string path;  // "" is the whole target
  };
  std::vector<Named> named;   // these and what is below them; none: everything
  bool trusted = false;       // also trusted ones that are not named themselves
  bool host_changes = false;  // also over what the host changed
};
struct Chosen {
  std::vector<Change> apply;
  struct Left {
    Change change;
    std::string why;
  };
  std::vector<Left> left;  // was asked for, and stays
};
Chosen choose(const std::vector<Change>& changes, const Choice& choice);

/// text_diff.cc, pure: the hunks of a unified diff ("@@ -1,3 +1,4 @@" and lines, each ended by LF), three lines of
/// context. Empty for equal texts. Exact for texts that differ in few thousand lines; beyond, correct but not the
/// shortest.
std::string unified_hunks(std::string_view before, std::string_view after);

enum class Use : std::uint8_t { look, change };

/// The overlays of one run: $state/overlays/<run>/, 0700, with `upper` and `work` in a numbered folder for each target.
class Overlays {
 public:
  /// For a run that is about to begin: makes the folders, locked until this object and the process end. Throws
  /// SysError, and Refusal where a file system cannot hold the layers.
  static Overlays create(const std::filesystem::path& state_directory, const std::string& run,
                         const std::vector<Target>& targets);
  /// Of the run with this id, the only one whose id begins so, or the latest when it is empty. With Use::change the
  /// overlays are locked, and a run that is alive is refused. Throws Refusal, SysError.
  static Overlays open(const std::filesystem::path& state_directory, std::string_view id_or_prefix, Use use);

  [[nodiscard]] const std::string& run() const noexcept { return run_; }
  [[nodiscard]] const std::vector<Target>& targets() const noexcept { return targets_; }
  [[nodiscard]] bool alive() const noexcept { return alive_; }  // of Use::look: the run has not ended

  /// Before the agent runs: returns once whatever the host changes from now on has a time after the run's beginning (a
  /// tick of the kernel's clock, most of which the launch has taken).
  void await_clock() const;

  /// At the end of the run: throws away what is only overlayfs's own, and everything when nothing was changed. True
  /// when changes are held.
  bool finish();

  /// What differs, in no order. Throws SysError, and Refusal when a target is gone.
  [[nodiscard]] std::vector<Change> changes() const;

  /// The bytes of a file on either side; nullopt when it is no file or has more than `limit`.
  enum class Side : std::uint8_t { host, overlay };
  [[nodiscard]] std::optional<std::string> content(const Change& change, Side side, std::size_t limit) const;

  /// Makes the host be as the overlay says, change by change: folders before what is in them, each file whole or not at
  /// all. `failed` hears of those that could not be. A run that was cut off is taken up by calling this again.
  /// Conflicts are looked for again unless `Over::host_changes`.
  enum class Over : std::uint8_t { nothing, host_changes };
  void apply(std::vector<Change> chosen, Over over,
             const std::function<void(const Change&, const std::string& why)>& failed);

  /// Removes all of it, and what a cut-off apply left on the host. Throws SysError.
  void discard();

 private:
  friend class Applier;
  Overlays() = default;
  [[nodiscard]] Fd layer(std::size_t target) const;        // O_PATH of its upper folder
  [[nodiscard]] Fd host_folder(std::size_t target) const;  // of the target; Refusal when it is gone
  [[nodiscard]] bool is_there(std::size_t target) const;   // the target, with its inode
  void remove_leftover();
  void remove_all();

  Fd parent_, folder_, lock_;
  std::string run_;
  std::vector<Target> targets_;
  std::int64_t began_ns_ = 0;  // CLOCK_REALTIME: what the host changed later has a later ctime
  bool alive_ = false;
};

/// The runs that hold changes back, oldest first.
std::vector<std::string> runs_with_overlays(const std::filesystem::path& state_directory);

/// reading.cc: lets this process, a plain user's, read files that the agent made unreadable: CAP_DAC_READ_SEARCH in a
/// user namespace of its own, and nothing else. Where that is not possible, such files are reported. The caller has one
/// thread.
void gain_reading() noexcept;

}  // namespace agentrun::review
