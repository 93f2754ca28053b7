// One connection over TCP, in the clear or by TLS.
#pragma once

#include <poll.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <agentrun/sink/live.h>
#include <agentrun/sink/target.h>
#include <agentrun/sys/fd.h>

struct ssl_ctx_st;
struct ssl_st;

namespace agentrun::sink {

struct FreeContext {
  void operator()(ssl_ctx_st* context) const noexcept;
};
struct FreeSession {
  void operator()(ssl_st* session) const noexcept;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, FreeContext>;

/// Verifies the certificate of a server, and shows one of its own where there is one. Throws Refusal for what holds
/// none.
TlsContext tls_context(const Contents& contents);

class Connection {
 public:
  /// Looks the name up, connects, and with a context agrees on TLS. Blocks for seconds at most. Throws Refusal.
  Connection(const Target& target, ssl_ctx_st* context);

  enum class Wrote : std::uint8_t { all, part, gone };
  /// Writes from `done` on, and moves it.
  Wrote write(std::string_view bytes, std::size_t& done);
  /// Bytes that were given to the kernel, and those of them that the other side's kernel has.
  [[nodiscard]] std::uint64_t written() const;
  [[nodiscard]] std::uint64_t acknowledged() const;
  /// Reads and forgets what the other side says. False: it has gone.
  bool listen();
  /// Says that nothing follows, and waits for the other side to say so, at most `milliseconds`.
  void finish(int milliseconds);
  [[nodiscard]] pollfd interest() const noexcept { return {.fd = socket_.get(), .events = wants_, .revents = 0}; }
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

 private:
  void agree(const Target& target, ssl_ctx_st* context);
  void await_acceptance(int took_ms);
  bool wait(short events, int milliseconds) const;

  Fd socket_;
  std::unique_ptr<ssl_st, FreeSession> session_;
  std::uint64_t plain_ = 0;
  short wants_ = POLLIN;
  std::string reason_;
};

}  // namespace agentrun::sink
