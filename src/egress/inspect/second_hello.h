// What can still name another host after a connection's first bytes were judged: a second ClientHello, which a TLS 1.3
// server asks for (HelloRetryRequest, RFC 8446 §4.1.4), and the rest of a first line that was no whole line.
// Incremental and pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace agentrun::egress {

/// Follows what a server sends after a ClientHello, record by record, until its answer is known.
class ServerAnswer {
 public:
  enum class State : std::uint8_t {
    more,     // not known yet
    hello,    // a ServerHello: no further ClientHello in the clear is taken
    retry,    // a HelloRetryRequest, or any handshake message that is no ServerHello: another ClientHello may follow
    not_tls,  // no handshake of TLS
  };
  /// The next bytes, in order. What comes behind a known answer is only followed, so that the next one is found.
  void take(std::string_view bytes);
  [[nodiscard]] State state() const noexcept { return state_; }
  /// Another ClientHello was passed on: its answer is awaited.
  void await_next() noexcept { state_ = State::more; }

 private:
  static constexpr std::size_t record_header = 5, message_header = 4, random_end = 38;
  void take_header();
  std::size_t take_message(std::string_view bytes);
  void settle(State state) noexcept;
  std::array<std::uint8_t, record_header> header_{};
  std::array<std::uint8_t, random_end> message_{};  // the beginning of a handshake message
  std::size_t have_header_ = 0, in_record_ = 0;     // bytes that were read, bytes that are left
  std::size_t have_message_ = 0, left_of_message_ = 0;
  bool handshake_ = false;  // the record is one
  State state_ = State::more;
};

/// Does a first line name a version of HTTP, or of another protocol whose requests web servers take (RTSP, ICE)? Of one
/// that begins as no request does, the bytes may be passed on as they come: lenient servers take any bytes for a
/// method, but a server that waits for the rest of a line does nothing yet.
class FirstLine {
 public:
  enum class State : std::uint8_t { more, other, http };  // `other`: a line, or 128 KiB, without such a version
  static constexpr std::size_t protocols = 3;
  State take(std::string_view bytes) noexcept;

 private:
  std::array<std::size_t, protocols> matched_{};  // of each version, what the bytes so far end with
  std::size_t seen_ = 0;
  bool begun_ = false;  // a byte that is no blank was there
};

}  // namespace agentrun::egress
