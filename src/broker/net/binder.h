// Binds unix sockets to paths for all receivers. bind(2) resolves a path from the working directory of the calling
// thread and creates the file with that thread's umask. So one thread binds for all, and no other thread ever changes
// its working directory. Every other thread stays in the host's /proc, where a path such as "self/fd/3" cannot change
// its meaning.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

class Binder {
 public:
  /// Starts the thread and waits until it has its own working directory and umask (unshare(2), CLONE_FS). Call it
  /// before the broker's filter is loaded. Never destroyed. Throws SysError, std::system_error. `host_proc`: O_PATH of
  /// the host's /proc.
  explicit Binder(int host_proc);
  Binder(const Binder&) = delete;
  Binder& operator=(const Binder&) = delete;

  /// Where bind(2) creates the file, and the file itself (O_PATH). The same thread looks the file up at once, so that a
  /// program on the host has next to no time to replace it. `file` is empty when no descriptor is left.
  struct Made {
    const Fd& parent;
    const std::string& name;
    Fd file;
  };

  /// Calls bind(2) with this umask and with `directory` (O_PATH) as the working directory. Returns 0, with `made.file`
  /// set, or the errno.
  int bind(const Fd& socket, const Fd& directory, mode_t umask, const sockaddr* address, socklen_t size, Made& made);

 private:
  struct Job {
    int socket, directory;
    mode_t umask;
    const sockaddr* address;
    socklen_t size;
    Made& made;
    int error = -1;
  };
  enum class State : std::uint8_t { starting, idle, given, done, failed };

  void run();
  void carry_out(Job& job) const noexcept;

  const int host_proc_;
  std::mutex turn_;   // one caller at a time
  std::mutex mutex_;  // guards the members below
  std::condition_variable changed_;
  State state_ = State::starting;
  Job* job_ = nullptr;
};

}  // namespace agentrun::broker
