// The listener's four ioctls and the reply, as a value. SECCOMP_USER_NOTIF_FLAG_CONTINUE can only be made with a
// reason.
#pragma once

#include <linux/seccomp.h>

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <variant>

#include <agentrun/sys/fd.h>

namespace agentrun::broker {

// The reasons for which the kernel may run the call itself. It will read the agent's memory again, which the agent can
// have changed: so each says why that gains nothing.
struct RegistersOnly {};  // everything that was decided on is in registers
struct BaselineCovers {
  std::string_view baseline;
};                    // whatever the memory says by then, this part of the kernel baseline holds
struct AuditOnly {};  // the decision was only recorded, nothing depends on it
using Reason = std::variant<RegistersOnly, BaselineCovers, AuditOnly>;

class Listener;

/// Whether somebody else answers a notification. That it is so, only those can say who will.
class Deferral {
 public:
  static Deferral refused(int error) { return Deferral(error); }
  [[nodiscard]] bool taken() const noexcept { return error_ == 0; }
  /// Why nobody took it; not 0 unless it was taken.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  friend class Workers;
  friend class Flows;
  static Deferral taken_over() { return Deferral(0); }
  explicit Deferral(int error) : error_(error) {}
  int error_;
};

/// What becomes of a call. It stays without an answer from here for two reasons only, which no function can state by
/// itself: its caller is gone (the listener says so), or a worker answers it (a Deferral says so).
class Reply {
 public:
  static Reply error(int number) { return Reply(Kind::error, number); }
  static Reply value(std::int64_t result) { return Reply(Kind::value, result); }
  static Reply inject(Fd fd, std::uint32_t fd_flags) {
    Reply reply(Kind::inject, 0);
    reply.fd_ = std::move(fd);
    reply.fd_flags_ = fd_flags;
    return reply;
  }
  static Reply proceed(Reason reason) {
    Reply reply(Kind::proceed, 0);
    reply.reason_ = reason;
    return reply;
  }
  /// For a target that seems to be gone. The listener is asked: when it still waits, it gets `otherwise`.
  static Reply gone(const Listener& listener, std::uint64_t id, int otherwise);
  /// Whoever took the notification over answers it; when nobody did, this is the errno.
  static Reply deferred(const Deferral& deferral) {
    return deferral.taken() ? Reply(Kind::deferred, 0) : error(deferral.error());
  }

  /// What was resolved has changed meanwhile: whoever called resolves the names anew. Sent, it is EAGAIN.
  static Reply try_again() { return Reply(Kind::try_again, EAGAIN); }

  enum class Kind : std::uint8_t { error, value, inject, proceed, gone, deferred, try_again };
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] std::int64_t number() const noexcept { return number_; }
  [[nodiscard]] const Fd& fd() const noexcept { return fd_; }
  [[nodiscard]] std::uint32_t fd_flags() const noexcept { return fd_flags_; }
  void close_fd() noexcept { fd_.reset(); }
  /// The journal's word for it: "errno", "emulated", "addfd", "continue".
  [[nodiscard]] std::string_view effect() const noexcept;

 private:
  Reply(Kind kind, std::int64_t number) : kind_(kind), number_(number) {}
  Kind kind_;
  std::int64_t number_;
  Fd fd_;
  std::uint32_t fd_flags_ = 0;
  Reason reason_;
};

/// seccomp_unotify(2).
class Listener {
 public:
  explicit Listener(Fd fd) : fd_(std::move(fd)) {}

  /// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP on or off (Linux 6.6; absence is only slower).
  void set_sync_wake_up(bool on) const noexcept;
  /// Blocks for the next notification. 0; ENOENT: the target died, call again; ENOTCONN: no task is left that has the
  /// filter; or another errno, which is the end too.
  [[nodiscard]] int receive(seccomp_notif& notification) const noexcept;
  /// Is the target still waiting on this notification?
  [[nodiscard]] bool valid(std::uint64_t id) const noexcept;
  /// Sends a reply. A target that is gone is no error. When the descriptor cannot be injected (EMFILE), the target gets
  /// that errno. The reply's descriptor is closed before the target goes on: its close() is then the file's last.
  /// Returns the errno that the target saw, 0 for success.
  int send(std::uint64_t id, Reply reply) const noexcept;

 private:
  int inject(std::uint64_t id, Reply reply) const noexcept;
  int respond(std::uint64_t id, std::int64_t value, int error, std::uint32_t flags) const noexcept;
  Fd fd_;
};

}  // namespace agentrun::broker
