// Who calls: attribution of a notification to a thread, its process and the image that it runs.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

/// The program that a loader (ld.so) was told to start, as it was judged.
struct LaunchedProgram {
  std::string name;  // as the loader will open it
  Fd fd;             // O_PATH
};

struct Task {
  pid_t tid = 0, pid = 0, ppid = 0;    // host pid namespace; pid is the thread group
  pid_t inner_tid = 0, inner_pid = 0;  // as the sandbox sees them: for /proc/self
  Fd proc;                // O_PATH of the host's /proc/<tid>: dies with the task, survives reuse of its number
  std::string comm, exe;  // of the image that ran when `image` was read
  std::string cwd;        // as seen in the view, at this notification; empty when longer than PATH_MAX
  std::uint64_t image = 0;
  bool judged = false;       // its image may run: exec_verify.cc
  LaunchedProgram launched;  // until the loader has opened it; empty for all other images
};

/// An execve that was answered CONTINUE: what was claimed, until the next trapped call shows what runs (design.md §6).
struct ExecClaim {
  Fd caller;  // the thread that called: its directory below /proc, which dies with it and survives reuse of its number
  pid_t tid = 0;           // the number of that thread
  std::string path;        // what it asked for
  std::string before;      // the image that asked
  std::uint64_t born = 0;  // when its process was (Tasks::born); 0: not known
};

/// Shared by the receivers: which processes are between an execve and their next trapped call.
class ExecClaims {
 public:
  /// `caller` is about to execute `path`. 0, or the errno for which it must not: there is no descriptor to know it by.
  [[nodiscard]] int put(const Task& caller, std::string path, int host_proc);
  /// The claims of the task's process that came before this trapped call of the task: those of the thread itself, which
  /// is back from execve in one image or the other, and those of threads that are no more (execve ends all others, and
  /// the one that called takes the leader's number). While another thread that claimed lives, its execve has not
  /// happened.
  [[nodiscard]] std::vector<ExecClaim> take(const Task& task, int host_proc);
  /// Grows with each claim that is taken: a Task whose `image` is older is looked at again.
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

 private:
  void forget_the_dead(int host_proc);

  std::mutex mutex_;
  std::unordered_map<pid_t, std::vector<ExecClaim>> claims_;  // by process
  std::size_t sweep_at_ = 256;  // so many processes: those that died without a trapped call are thrown out
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::uint64_t> epoch_{1};
};

/// Attribution with a small cache; each receiver has its own.
class Tasks {
 public:
  Tasks(int host_proc, const ExecClaims& claims) : host_proc_(host_proc), claims_(claims) {}

  /// The task behind a notification with `cwd` fresh, or null when it is gone. Valid until the next call.
  Task* find(pid_t tid);
  [[nodiscard]] int host_proc() const noexcept { return host_proc_; }
  /// umask(2) of the task now; nullopt when it is gone.
  static std::optional<mode_t> umask_of(const Task& task);
  /// How many descriptors its table holds without growing (FDSize, proc(5)); 0 when it is gone.
  static std::size_t descriptor_slots(const Task& task);
  /// What a blocked call of the task must end with now: 0 while no signal waits for it. `proc` is the task's directory.
  static int interruption(const Fd& proc);
  /// /proc/<pid>/cmdline: what the kernel was given, as long as the image has not run code of its own. What does not
  /// fit into 128 KiB is not complete; then the last word is not whole.
  struct CommandLine {
    std::vector<std::string> words;
    bool complete = false;
  };
  static CommandLine command_line(const Task& task);
  /// Opens the image that it runs, to read it; empty when it cannot be.
  static Fd open_image(const Task& task);
  /// When a process was born, in clock ticks since boot (proc(5)): with its number that is its name. It keeps it over
  /// execve, whichever thread called. 0: it is gone.
  static std::uint64_t born(int host_proc, pid_t pid);
  /// Did the kernel lay out its memory at random when its image was executed? (PF_RANDOMIZE; not for ADDR_NO_RANDOMIZE
  /// of personality(2), and not where kernel.randomize_va_space is 0.)
  static bool has_random_layout(const Task& task);
  /// Device number of its controlling terminal; 0: none.
  static dev_t terminal_of(const Task& task);
  /// It leads its session, which has no controlling terminal: the next terminal that it opens becomes that.
  static bool wants_terminal(const Task& task);

 private:
  bool load(pid_t tid, Task& task) const;
  static bool refresh_image(Task& task);

  int host_proc_;
  const ExecClaims& claims_;
  std::unordered_map<pid_t, Task> cache_;
};

/// readlinkat(2) into a string, with SYS_PTRACE when refused without it; nullopt on any error (errno is kept).
std::optional<std::string> read_link(int dirfd, const char* name);

}  // namespace agentrun::broker
