// bind(2) of a unix socket to a path starts at the working directory of the thread that calls it, and makes the file
// with that thread's umask. So one thread does it for all, and is the only one that ever changes its working directory:
// that of every other thread is the host's /proc from the start to the end, and a path below it ("self/fd/3") cannot
// come to mean another.
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
  /// Starts the thread and waits until its working directory and umask are its own (unshare(2), CLONE_FS). To be called
  /// before the broker's filter is loaded. Never destroyed. Throws SysError, std::system_error. `host_proc`: O_PATH of
  /// the host's /proc.
  explicit Binder(int host_proc);
  Binder(const Binder&) = delete;
  Binder& operator=(const Binder&) = delete;

  /// Where the file of a bind comes to stand, and the file then (O_PATH): looked up by the same thread and at once, so
  /// that a program of the host has next to no time to put another there. Empty when no descriptor is left.
  struct Made {
    const Fd& parent;
    const std::string& name;
    Fd file;
  };

  /// bind(2), with `directory` (O_PATH) as the working directory and with this umask. 0, and `made.file`; or the errno.
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
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  State state_ = State::starting;
  Job* job_ = nullptr;
};

}  // namespace agentrun::broker
