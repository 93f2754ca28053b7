// One connection over TCP, with or without TLS.
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

/// A client context that verifies servers, and presents a certificate if `contents` has one. Throws Refusal for invalid
/// contents.
TlsContext tls_context(const Contents& contents);

class Connection {
 public:
  /// Resolves the name, connects, and with a context does the TLS handshake. Blocks for some seconds at most. Throws
  /// Refusal.
  Connection(const Target& target, ssl_ctx_st* context);

  enum class Wrote : std::uint8_t { all, part, gone };
  /// Writes from `done` on and advances it.
  Wrote write(std::string_view bytes, std::size_t& done);
  /// Bytes that this kernel has taken, and bytes that the peer's kernel has acknowledged.
  [[nodiscard]] std::uint64_t written() const;
  [[nodiscard]] std::uint64_t acknowledged() const;
  /// Reads and discards input. False when the peer has closed the connection.
  bool discard_input();
  /// Shuts the connection down and waits for the peer to do the same, at most `milliseconds`.
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
