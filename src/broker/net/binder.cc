// Runs the thread that calls bind(2) in the caller's directory and with the caller's umask.
#include "broker/net/binder.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

#include <agentrun/sys/error.h>

namespace agentrun::broker {

Binder::Binder(int host_proc) : host_proc_(host_proc) {
  std::thread([this] { run(); }).detach();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::starting; });
  if (state_ == State::failed) throw SysError(EPERM, "unshare", "CLONE_FS");
}

void Binder::run() {
  const bool own = ::unshare(CLONE_FS) == 0;
  std::unique_lock lock(mutex_);
  state_ = own ? State::idle : State::failed;
  changed_.notify_all();
  while (own) {  // NOLINT(bugprone-infinite-loop): it ends with the process
    changed_.wait(lock, [this] { return state_ == State::given; });
    carry_out(*job_);
    state_ = State::done;
    changed_.notify_all();
  }
}

void Binder::carry_out(Job& job) const noexcept {
  job.error = ::fchdir(job.directory) == 0 ? 0 : errno;
  if (job.error != 0) return;
  ::umask(job.umask);
  job.error = ::bind(job.socket, job.address, job.size) == 0 ? 0 : errno;
  if (job.error == 0)
    job.made.file.reset(::openat(job.made.parent.get(), job.made.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (::fchdir(host_proc_) != 0) std::abort();  // hold nothing of the agent's beyond its call
}

int Binder::bind(const Fd& socket, const Fd& directory, mode_t umask, const sockaddr* address, socklen_t size,
                 Made& made) {
  const std::scoped_lock turn(turn_);
  Job job{.socket = socket.get(),
          .directory = directory.get(),
          .umask = umask,
          .address = address,
          .size = size,
          .made = made};
  std::unique_lock lock(mutex_);
  job_ = &job;
  state_ = State::given;
  changed_.notify_all();
  changed_.wait(lock, [this] { return state_ == State::done; });
  state_ = State::idle;
  job_ = nullptr;
  return job.error;
}

}  // namespace agentrun::broker
