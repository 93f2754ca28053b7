// One notification in, one reply out: judged on the copy, recorded, performed.
#pragma once

#include <sys/un.h>

#include <atomic>
#include <functional>
#include <optional>
#include <shared_mutex>

#include <agentrun/broker.h>
#include "broker/exec/digests.h"
#include "broker/exec/verified.h"
#include "broker/net/binder.h"
#include "broker/net/flows.h"
#include "broker/net/own_sockets.h"
#include "broker/notify/listener.h"
#include "broker/path/change_guards.h"
#include "broker/path/resolve.h"
#include "broker/path/tree_lock.h"
#include "broker/recorder.h"
#include "broker/task/descriptor.h"
#include "broker/task/task.h"
#include "broker/workers.h"

namespace agentrun::broker {

/// A unix socket of the host that the agent is given.
struct HostSocket {
  std::uint64_t dev, ino;
  const policy::Rule* rule;
};

/// What the receivers share. Immutable, or guarded by itself.
struct Shared {
  const policy::Policy& policy;
  const Reads reads;
  const Listener& listener;
  const int host_proc;
  const std::vector<std::uint64_t>& mounts;
  Recorder& recorder;
  ExecClaims& claims;
  Verified& verified;
  Workers& workers;
  Binder& binder;
  TreeLock& tree;
  Digests& digests;
  Flows& flows;
  const std::vector<HostSocket>& sockets;
  OwnSockets& own_sockets;
  const ChangeGuards& guards;
  /// A denied image ran: nothing is performed any more.
  std::atomic<bool>& condemned;
  const std::int64_t began;  // of the run, before the agent: nanoseconds of the clock of files (CLOCK_REALTIME_COARSE)
  const std::uint64_t host_network;                         // network_of() the host's sockets
  const pid_t agent_pid;                                    // the first process of the agent
  const std::string own_exe;                                // what /proc/<pid>/exe says of agent-run itself
  const std::pair<std::uint64_t, std::uint64_t> own_image;  // device and inode of that file
};

/// Each receiver thread has one. Its working directory is the host's /proc, for ever (binder.h), and its umask is its
/// own (CLONE_FS).
class Handler {
 public:
  explicit Handler(Shared& shared)
      : s_(shared), resolver_(shared.host_proc, shared.mounts), tasks_(shared.host_proc, shared.claims) {}

  /// Handles one notification to its end: the reply has been sent, or a worker will send it, or the target is gone.
  /// Whatever goes wrong on the way ends in an errno.
  void handle(const seccomp_notif& notification) noexcept;

 private:
  Reply answer(const seccomp_notif& notification);
  Reply dispatch(const Request& request, const Task& task, Case& c);
  /// 0: the task's image may run. Else the errno for its call `id`; ESRCH: it is gone, or became another while it was
  /// looked at.
  int verify_image(Task*& task, std::uint64_t id);
  [[nodiscard]] bool is_still_agent_run(const Task& task) const;
  /// What a loader would start with these arguments, its own name included.
  /// `program`, when it is given: what was judged, for open_launched().
  policy::Verdict judge_launched(const Task& task, const std::vector<std::string>& argv, bool complete,
                                 LaunchedProgram* program) const;
  /// Answers the call by which a loader opens the program that was judged; nothing for every other call.
  std::optional<Reply> open_launched(Task& task, Case& c);
  /// Opens a regular file to hash it; empty when it cannot be read.
  Fd content_of(const Object& object) const;
  /// `verdict`, or the pin that the content of `path` does not keep.
  policy::Verdict with_pins(policy::Verdict verdict, const std::string& path, const std::function<Fd()>& open) const;

  // open.cc
  Reply open(Case& c);
  Reply claim_read(Case& c);
  Reply claim_resolved(Case& c);
  Reply open_exact(Case& c);
  Reply open_for_creation(Case& c);
  int creation_of_folder(const Case& c) const;
  Reply open_existing(Case& c, Object& object);
  Reply open_temporary(Case& c, Object& folder);
  std::optional<Reply> create(Case& c, const Slot& slot);
  /// Opens what was pinned. A regular file is never waited for: EAGAIN when somebody holds a lease of it (fcntl(2),
  /// F_SETLEASE), who may keep an opener waiting for 45 s.
  int reopen(const Object& object, std::uint64_t flags, Fd& to) const;
  Reply open_later(Case& c, Object& object);
  /// Answers the call from a thread of its own, because it may wait.
  Reply later(Case& c, std::function<Reply()> call);
  int own_terminal(const Task& task, Object& object) const;

  // names.cc: what changes a folder
  Reply unlink(Case& c);
  Reply rename(Case& c);
  Reply link(Case& c);
  Reply symlink(Case& c);
  Reply mkdir(Case& c);
  Reply mknod(Case& c);
  int slot_for(Case& c, Slot& slot);
  int second_slot(Case& c, Slot& slot);
  void judge_second(Case& c, const Slot& slot) const;
  void judge_link(Case& c, const std::string& path) const;
  [[nodiscard]] const policy::Rule* second_name_rule(const std::string& from, const std::string& to) const;
  Reply refuse_link(Case& c, const policy::Rule& rule);

  // attributes.cc: what changes an object
  /// `mode` without set-id bits: a program with them would act for whoever of the host starts it. Who may change the
  /// whole host (weaken: [host-root]) keeps them.
  [[nodiscard]] mode_t mode_for_file(mode_t mode) const;
  [[nodiscard]] bool keeps_whiteouts() const { return s_.policy.weakened(policy::Weakening::host_root); }
  Reply attribute(Case& c);
  int attribute_object(const Case& c, Object& object) const;
  int apply(const Request& request, const Object& object) const;
  Reply truncate(Case& c, Object& object);

  // lease.cc
  Reply lease(Case& c);

  // calls.cc
  Reply execute(Case& c);

  // bind.cc
  Reply bind(Case& c);
  /// Binds it, and remembers what came to stand in the slot as the agent's own.
  int bind_at(const Case& c, const AgentSocket& socket, const Slot& slot, const Fd& folder, const sockaddr_un& address,
              socklen_t size);

  // connect.cc
  Reply connect(Case& c);
  Reply connect_network(Case& c, AgentSocket socket, const policy::Destination& to);
  Reply connect_unix(Case& c, AgentSocket socket);
  void judge_socket(Case& c, const Object& object) const;
  /// Connects it, here or, when that takes longer, on a thread of its own.
  Reply carry_out(Case& c, AgentSocket socket, const sockaddr_storage& address, socklen_t size);
  Reply begun(Case& c, int error);
  [[nodiscard]] Flows::Call waiting_call(const Case& c, AgentSocket socket, const sockaddr_storage& address,
                                         socklen_t size) const;

  /// Judges `path` and notes it in the case. files.keep counts as if the file had been there before the run.
  void judge(Case& c, policy::Right right, const std::string& path) const;
  /// Judges what stands there: files.keep counts for what was there before the run.
  void judge(Case& c, policy::Right right, const Slot& slot) const;
  void judge(Case& c, policy::Right right, const Object& object) const;
  [[nodiscard]] policy::Verdict verdict_on(policy::Right right, const Slot& slot, std::string& stands_for) const;
  // other_names.cc
  /// `verdict`, or the denial by a guarded name that the slot or object stands for: then `stands_for` is that name.
  template <typename Where>
  policy::Verdict by_other_names(policy::Verdict verdict, policy::Right right, const Where& where,
                                 std::string& stands_for) const;
  /// `verdict` on executing what is at the canonical path and open as `file`, or the denial by a name that may be
  /// written.
  policy::Verdict with_writable_names(policy::Verdict verdict, const std::string& path, const Fd& file,
                                      std::string& stands_for) const;
  /// files.keep: was it there before the run?
  [[nodiscard]] policy::Age age_at(const Slot& slot) const;
  [[nodiscard]] policy::Age age_at(const Object& object) const;
  [[nodiscard]] std::optional<policy::ProtectedObjects::Denial> denial_of(const policy::ProtectedObjects& objects,
                                                                          policy::Right right, const Slot& slot) const;
  [[nodiscard]] std::optional<policy::ProtectedObjects::Denial> denial_of(const policy::ProtectedObjects& objects,
                                                                          policy::Right right,
                                                                          const Object& object) const;
  /// A symbolic link must not come to stand at this path.
  [[nodiscard]] std::optional<policy::ProtectedObjects::Denial> link_denial(const std::string& path) const;
  /// An object that the agent reached through a descriptor and that has no path in the view.
  void judge_foreign(Case& c, const Object& object, std::uint64_t open_flags) const;
  /// Writes the record. 0: go on; EACCES: denied; EIO: the record could not be written.
  int permit(Case& c, std::string_view effect);
  /// The walk failed by itself: recorded with the verdict on the name as it was written.
  Reply refuse(Case& c, policy::Right right, int error);
  /// After an allowed act that somebody else is to carry on: no reply from here, or the errno with its record.
  Reply deferred(Case& c, const Deferral& deferral);
  /// The errno for a call whose umask cannot be read: ESRCH when its caller is gone, else EIO, since it waits for an
  /// answer.
  [[nodiscard]] int without_umask(const Case& c) const;
  /// After an allowed act: 0 → `success`; else the errno, with its record.
  Reply result(Case& c, int error);

  Shared& s_;
  Resolver resolver_;
  Tasks tasks_;
};

inline std::string self_fd(const Object& object) {
  return self_fd(object.fd);
}

/// What stands there, or the descriptor itself for ""; zeros: nothing.
policy::ProtectedObjects::Identity identity_at(int fd, const std::string& name);
/// When the file `name` in the folder, or the descriptor itself for "", came to be. A folder, or nothing: since.
policy::Age age_of(int fd, const std::string& name, std::int64_t began);
/// The same of a file `path` in the directory that `directory` tells: what says whose settings count in a repository of
/// git is as old as that, also when it is missing, or was written anew by the host meanwhile.
policy::Age age_in_repository(policy::Age age, const policy::ProtectedObjects& objects, std::string_view path,
                              const std::function<policy::ProtectedObjects::Identity()>& directory);

/// The last component is ".", ".." or nothing: it names a folder whatever stands there, and the kernel refuses to make,
/// move or remove it in its own ways.
bool stands_for_folder(const Slot& slot);

/// The rules and what stands for guarded names, for scan_guarded().
struct ScanRules {
  const policy::Policy& policy;
  const policy::ProtectedObjects& objects;
  const std::int64_t began;                          // files.keep guards what is older
  const policy::FoldedRules* folded = nullptr;       // when one of the two directories folds names
  std::vector<std::string>* repositories = nullptr;  // gets the directories that may be git's, by where they go
};
/// A regular file that is a mount point of its own: granted by itself, and not to be renamed over.
bool is_mounted_file(const Slot& slot);
/// Writes what the regular file `from` holds into such a file `to`, and removes `from`. 0 or an errno: EBUSY when
/// either has more than 1 MiB or cannot be opened; then nothing has changed.
int replace_content(const Task& task, const Slot& from, const Slot& to);

/// Searches the folder `name` in `parent` for something that is guarded where it stands (`from`) or would be guarded
/// where it goes (`to`). 0: nothing; EACCES: yes, `found` is the guarded path and `denial` says by what; EXDEV: too
/// much to search, and programs fall back to copying.
int scan_guarded(const ScanRules& rules, const Fd& parent, const std::string& name, const std::string& from,
                 const std::string& to, std::string& found, policy::ProtectedObjects::Denial& denial);

}  // namespace agentrun::broker
