// Proxies of the host that the relay goes through: which, and how to speak to them. Pure: bytes in, bytes out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/egress.h>

namespace agentrun::egress {

struct Proxy {
  enum class Kind : std::uint8_t { http, socks5 } kind{};
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 0;
  std::string user, password;
  /// Without the credentials, for records: "http://proxy.example:3128".
  [[nodiscard]] std::string text() const;
};

/// "http://[user[:password]@]host[:port][/]", "socks5://…", "socks5h://…", or without a scheme: http. What `variable`
/// says and is none of these is refused.
Proxy parse_proxy(std::string_view variable, std::string_view text);

class ProxyRules {
 public:
  explicit ProxyRules(const Proxies& proxies);  // throws Refusal
  /// The proxy for a connection to this name, or to this address when the name is empty; null: none. Of the variables
  /// HTTP_PROXY is for port 80, HTTPS_PROXY for all others, ALL_PROXY where that is empty.
  [[nodiscard]] const Proxy* choose(std::string_view name, const policy::Destination& to) const;

 private:
  struct Exception {
    bool all = false;
    std::string suffix;  // a name and what is below it
    std::optional<policy::Destination> network;
    int length = 0;
    std::uint16_t port = 0;  // 0: any
  };
  static std::optional<Exception> parse_exception(std::string_view text);
  [[nodiscard]] static bool holds(const Exception& exception, std::string_view name, const policy::Destination& to);
  std::optional<Proxy> https_, http_;
  std::vector<Exception> exceptions_;
};

/// The talk with a proxy until it lets the bytes through: HTTP CONNECT (RFC 9110 §9.3.6) or SOCKS5 (RFC 1928, 1929).
class ProxyTalk {
 public:
  /// The name goes to the proxy unresolved; an empty one: the address.
  ProxyTalk(const Proxy& proxy, std::string_view name, const policy::Destination& to);
  /// What is to be sent now; empty when it is the proxy's turn.
  std::string take_output();
  enum class State : std::uint8_t { talking, through, failed };
  /// Reads what came; returns how much of it belongs to the talk. The rest is the other side's already.
  std::size_t take_input(std::string_view bytes);
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] int error() const noexcept { return error_; }  // the errno, when it failed
  [[nodiscard]] std::string_view reason() const noexcept { return reason_; }

 private:
  enum class Step : std::uint8_t { http_head, method, login, reply };
  void connect_http();
  void connect_socks();
  void read_http(std::string_view head);
  void read_socks(std::string_view message);
  [[nodiscard]] std::size_t socks_size(std::string_view bytes) const;
  void fail(int error, std::string_view reason);

  const Proxy& proxy_;
  std::string name_;
  policy::Destination to_;
  std::string output_, input_;
  Step step_{};
  State state_ = State::talking;
  int error_ = 0;
  std::string_view reason_;
};

}  // namespace agentrun::egress
