// Sends to receivers on this host: a file, and unix sockets.
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <agentrun/sys/error.h>
#include "sink/program/sender.h"

namespace agentrun::sink {

namespace {

using Status = Result::Status;

std::string reason(int error) {
  return std::string(errno_name(error));
}

class FileSender : public Sender {
 public:
  explicit FileSender(Fd file) : file_(std::move(file)) {}

  Result send(const Item& item) override {
    if (fresh_) begin();
    while (done_ < item.bytes.size()) {
      const ssize_t n =
          retry_eintr([&] { return ::write(file_.get(), item.bytes.data() + done_, item.bytes.size() - done_); });
      if (n < 0)
        return {.status = Status::down,
                .reason = reason(errno)};  // also for a full disk; the rest of the line follows later
      done_ += static_cast<std::size_t>(n);
    }
    done_ = 0;
    ++arrived_;
    return {};
  }
  std::size_t take_arrived() override { return std::exchange(arrived_, 0); }

 private:
  // The previous writer may have died inside a line.
  void begin() {
    fresh_ = false;
    char last = '\n';
    const off_t size = ::lseek(file_.get(), 0, SEEK_END);
    if (size > 0 && ::pread(file_.get(), &last, 1, size - 1) == 1 && last != '\n') (void)!::write(file_.get(), "\n", 1);
  }
  Fd file_;
  std::size_t done_ = 0;  // bytes of the current item that are written
  std::size_t arrived_ = 0;
  bool fresh_ = true;
};

class UnixSender : public Sender {
 public:
  explicit UnixSender(const Target& target) : target_(target) {}

  Result send(const Item& item) override {
    if (!socket_) {
      if (const int error = connect(); error != 0) return {.status = Status::down, .reason = reason(error)};
    }
    const std::string line = stream_ ? item.bytes + "\n" : std::string();
    const std::string_view bytes = stream_ ? std::string_view(line).substr(done_) : std::string_view(item.bytes);
    const ssize_t n =
        retry_eintr([&] { return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) return full();
    if (n < 0 && errno == EMSGSIZE)
      return {.status = Status::lost, .reason = "too long for a datagram", .count = item.last - item.first + 1};
    if (n < 0) {
      const int error = errno;
      close();
      return {.status = Status::down, .reason = reason(error)};
    }
    full_ = false;
    if (stream_ && static_cast<std::size_t>(n) < bytes.size()) {
      done_ += static_cast<std::size_t>(n);
      return full();
    }
    done_ = 0;
    ++(stream_ ? waiting_ : arrived_);
    return {};
  }

  // On a stream the kernel says how much the peer has read.
  std::size_t take_arrived() override {
    int unread = 0;
    if (stream_ && waiting_ > 0 && ::ioctl(socket_.get(), SIOCOUTQ, &unread) == 0 && unread == 0)
      arrived_ += std::exchange(waiting_, 0);
    return std::exchange(arrived_, 0);
  }
  [[nodiscard]] pollfd interest() const override {
    return {.fd = socket_ ? socket_.get() : -1, .events = static_cast<short>(full_ ? POLLOUT : 0), .revents = 0};
  }
  bool check_receiver() override {
    char byte = 0;
    const bool gone = stream_ && socket_ && ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) == 0;
    if (gone) close();
    return !gone;
  }

 private:
  Result full() {
    full_ = true;
    return {.status = Status::full};
  }
  void close() {
    socket_.reset();
    done_ = waiting_ = 0;
    full_ = false;
  }
  int connect() {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, target_.path.data(), std::min(target_.path.size(), sizeof address.sun_path - 1));
    for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
      Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      constexpr int room = 8 << 20;  // a datagram must fit as a whole; the kernel limits the value
      ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
      if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        socket_ = std::move(socket);
        stream_ = type == SOCK_STREAM;
        return 0;
      }
      if (errno != EPROTOTYPE || target_.kind == Target::Kind::journald) break;
    }
    return errno;
  }

  const Target& target_;
  Fd socket_;
  bool stream_ = false, full_ = false;
  std::size_t done_ = 0, waiting_ = 0, arrived_ = 0;
};

}  // namespace

std::unique_ptr<Sender> file_sender(Fd file) {
  return std::make_unique<FileSender>(std::move(file));
}
std::unique_ptr<Sender> unix_sender(const Target& target) {
  return std::make_unique<UnixSender>(target);
}

}  // namespace agentrun::sink
