// The witness's HTTP server and its client.
#include <agentrun/witness/witness_http.h>

#include <agentrun/sys/utf8.h>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>

namespace agentrun::witness {

namespace {

constexpr std::size_t max_head = 8 * 1024;
constexpr std::size_t max_body = 64 * 1024;
constexpr std::size_t max_peers = 64;
constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t peer_ns = 5000 * ms;      // for a peer's complete request
constexpr std::int64_t answer_ns = 30'000 * ms;  // how long the client waits for a reply
constexpr std::string_view tcp = "tcp:";
constexpr std::string_view http = "http://";

// ---- addresses ------------------------------------------------------------------------------------------------------

struct Place {
  std::string host, port, prefix;
};

/// "HOST:PORT[/PREFIX]", "[ADDRESS]:PORT"
Place place_of(std::string_view text, const std::string& whole) {
  Place place;
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos) place.prefix = text.substr(slash);
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  text = text.substr(0, slash);
  const std::size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  if (colon == std::string_view::npos || (bracketed && (colon == 0 || text[colon - 1] != ']')) ||
      (!bracketed && text.find(':') != colon))
    throw Refusal("no address and port in " + printable(whole), "write 127.0.0.1:8080 or [::1]:8080");
  place.host = bracketed ? text.substr(1, colon - 2) : text.substr(0, colon);
  place.port = text.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(place.port.data(), place.port.data() + place.port.size(), number);
  const auto is_odd = [](char c) { return c <= ' ' || c >= 0x7f; };  // could end a line of the request
  if (place.host.empty() || error != std::errc{} || end != place.port.data() + place.port.size() || number > 65535 ||
      std::ranges::any_of(place.host, is_odd) || std::ranges::any_of(place.prefix, is_odd))
    throw Refusal("no address and port in " + printable(whole), "write 127.0.0.1:8080 or [::1]:8080");
  return place;
}

using Addresses = std::unique_ptr<addrinfo, decltype([](addrinfo* list) { ::freeaddrinfo(list); })>;

Addresses addresses_of(const Place& place, int flags) {
  const addrinfo hints{.ai_flags = flags | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &list);
  if (error != 0)
    throw Refusal("cannot resolve " + place.host + ": " + ::gai_strerror(error), "check the name of the host");
  return Addresses(list);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Refusal("the path of a socket has at most " + std::to_string(sizeof address.sun_path - 1) + " bytes: " + path,
                  "choose a shorter path");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

Fd stream_socket(int family = AF_UNIX) {
  return Fd(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

std::string name_of(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    throw SysError(EINVAL, "getnameinfo", "the witness's socket");
  return std::string(http) + (address.ss_family == AF_INET6 ? "[" + std::string(host.data()) + "]" : host.data()) +
         ":" + port.data();
}

/// Removes a socket that a killed witness left, but not one on which a witness listens.
void bind_path(const Fd& socket, const std::string& path) {
  const sockaddr_un address = address_of(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const mode_t old = ::umask(0177);
  int result = ::bind(socket.get(), generic, sizeof address);
  if (result != 0 && errno == EADDRINUSE) {
    const Fd probe = stream_socket();
    if (::connect(probe.get(), generic, sizeof address) != 0 && errno == ECONNREFUSED && ::unlink(path.c_str()) == 0)
      result = ::bind(socket.get(), generic, sizeof address);
    else
      errno = EADDRINUSE;
  }
  const int error = errno;
  ::umask(old);
  if (result != 0) throw SysError(error, "bind", path);
}

// ---- messages -------------------------------------------------------------------------------------------------------

struct Message {
  std::string first, body;
};

/// The Content-Length of a head; nullopt when there are two, it is not a number, or the message has a transfer coding.
std::optional<std::size_t> length_in(std::string_view head) {
  static constexpr std::string_view length_name = "content-length:", coding_name = "transfer-encoding:";
  std::optional<std::size_t> length;
  const auto is = [](std::string_view line, std::string_view name) {
    return line.size() >= name.size() && ::strncasecmp(line.data(), name.data(), name.size()) == 0;
  };
  while (!head.empty()) {
    const std::size_t end = std::min(head.find("\r\n"), head.size());
    std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    if (is(line, coding_name)) return std::nullopt;
    if (!is(line, length_name)) continue;
    line.remove_prefix(length_name.size());
    while (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with(' ')) line.remove_suffix(1);
    std::size_t number = 0;
    const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (length || error != std::errc{} || stop != line.data() + line.size()) return std::nullopt;
    length = number;
  }
  return length.value_or(0);
}

/// An incoming HTTP/1.1 message.
class Incoming {
 public:
  enum class State : std::uint8_t { more, whole, malformed, too_long };
  /// Reads what is available. A message that ends before it is complete is malformed.
  State read(const Fd& socket) {
    std::array<char, 16 * 1024> piece;
    for (;;) {
      const ssize_t n = ::recv(socket.get(), piece.data(), piece.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return State::more;
      if (n <= 0) return State::malformed;
      bytes_.append(piece.data(), static_cast<std::size_t>(n));
      if (const State state = judge(); state != State::more) return state;
    }
  }
  [[nodiscard]] Message take() const {
    return {.first = bytes_.substr(0, bytes_.find("\r\n")), .body = bytes_.substr(body_, length_)};
  }

 private:
  State judge() {
    if (body_ == 0) {
      const std::size_t end = bytes_.substr(0, max_head).find("\r\n\r\n");
      if (end == std::string::npos) return bytes_.size() >= max_head ? State::too_long : State::more;
      const auto length = length_in(std::string_view(bytes_).substr(0, end));
      if (!length) return State::malformed;
      if (*length > max_body) return State::too_long;
      length_ = *length;
      body_ = end + 4;
    }
    return bytes_.size() - body_ >= length_ ? State::whole : State::more;
  }

  std::string bytes_;
  std::size_t body_ = 0, length_ = 0;  // body_ 0: the head is incomplete
};

std::string response(const journal::Witness::Reply& reply) {
  const char* type = reply.status == 409 ? "text/x.tlog.size" : "text/plain; charset=utf-8";
  return "HTTP/1.1 " + std::to_string(reply.status) + " -\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(reply.body.size()) + "\r\nConnection: close\r\n\r\n" + reply.body;
}

// ---- the witness ----------------------------------------------------------------------------------------------------

struct Peer {
  Fd socket;
  std::int64_t until = 0;
  Incoming incoming{};
};

journal::Witness::Reply answer_to(const Peer& peer, Incoming::State state, journal::Witness& witness) {
  if (state == Incoming::State::too_long) return {413, "too long\n"};
  if (state == Incoming::State::malformed) return {400, "not a request\n"};
  const Message request = peer.incoming.take();
  if (!request.first.starts_with("POST /add-checkpoint HTTP/1.")) return {404, "POST /add-checkpoint\n"};
  try {
    return witness.add_checkpoint(request.body);
  } catch (const SysError& e) {
    std::fprintf(stderr, "agent-run: %s\n", e.what());  // nothing new was stored, so nothing is signed
    return {500, "the witness cannot store the checkpoint\n"};
  }
}

/// False when the exchange is over. A reply is small enough for the kernel to take it at once.
bool go_on(Peer& peer, journal::Witness& witness) {
  const Incoming::State state = peer.incoming.read(peer.socket);
  if (state == Incoming::State::more) return true;
  const std::string text = response(answer_to(peer, state, witness));
  (void)::send(peer.socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  (void)::shutdown(peer.socket.get(), SHUT_WR);
  std::array<char, 4096> rest;  // unread input would make the kernel reset the connection and lose the reply
  for (std::size_t got = 0; got<max_body&& ::recv(peer.socket.get(), rest.data(), rest.size(), 0)> 0;)
    got += rest.size();
  return false;
}

void accept_all(const Fd& socket, std::list<Peer>& peers) {
  while (peers.size() < max_peers) {
    Fd peer(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer) {
      peers.push_back({.socket = std::move(peer), .until = boot_clock_ns() + peer_ns});
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN || errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return;
    throw_errno("accept", "the witness's socket");
  }
}

// ---- its client -----------------------------------------------------------------------------------------------------

/// Waits for `events`; throws when the time is over.
void wait_for(const Fd& socket, short events, std::int64_t until, const std::string& where) {
  pollfd one{.fd = socket.get(), .events = events, .revents = 0};
  const std::int64_t left = until - boot_clock_ns();
  if (left <= 0 || retry_eintr([&] { return ::poll(&one, 1, static_cast<int>(left / ms) + 1); }) <= 0)
    throw SysError(ETIMEDOUT, "connect", where);
}

bool try_connect(const Fd& socket, const sockaddr* address, socklen_t size, std::int64_t until,
                 const std::string& where) {
  if (::connect(socket.get(), address, size) == 0) return true;
  if (errno != EINPROGRESS) return false;
  wait_for(socket, POLLOUT, until, where);
  int error = 0;
  socklen_t length = sizeof error;
  check(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length), "getsockopt");
  errno = error;
  return error == 0;
}

Fd connect_to(const std::string& where, Place& place, std::int64_t until) {
  if (!where.starts_with(http)) {
    Fd socket = stream_socket();
    const sockaddr_un address = address_of(where);
    if (!try_connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address, until, where))
      throw_errno("connect", where);
    place = {.host = "witness", .port = {}, .prefix = {}};
    return socket;
  }
  place = place_of(std::string_view(where).substr(http.size()), where);
  const Addresses list = addresses_of(place, 0);
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    Fd socket = stream_socket(one->ai_family);
    if (try_connect(socket, one->ai_addr, one->ai_addrlen, until, where)) return socket;
  }
  throw_errno("connect", where);
}

}  // namespace

WitnessSocket listen_for_witness(const std::string& where) {
  WitnessSocket result{.fd = {}, .name = where};
  if (!where.starts_with(tcp)) {
    result.fd = stream_socket();
    bind_path(result.fd, where);
  } else {
    const Place place = place_of(std::string_view(where).substr(tcp.size()), where);
    const Addresses list = addresses_of(place, AI_NUMERICHOST | AI_PASSIVE);
    result.fd = stream_socket(list->ai_family);
    constexpr int on = 1;
    check(::setsockopt(result.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt", where);
    check(::bind(result.fd.get(), list->ai_addr, list->ai_addrlen), "bind", where);
    result.name = name_of(result.fd);
  }
  check(::listen(result.fd.get(), static_cast<int>(max_peers)), "listen", where);
  return result;
}

void serve_witness(const Fd& socket, journal::Witness& witness) {
  std::list<Peer> peers;  // ordered by deadline
  std::vector<pollfd> waiting;
  for (;;) {
    waiting.clear();
    for (const Peer& peer : peers) waiting.push_back({.fd = peer.socket.get(), .events = POLLIN, .revents = 0});
    if (peers.size() < max_peers) waiting.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
    const std::int64_t left =
        peers.empty() ? 60'000 * ms : std::max<std::int64_t>(0, peers.front().until - boot_clock_ns());
    const int n = ::poll(waiting.data(), waiting.size(), static_cast<int>(left / ms) + 1);
    if (n < 0 && errno != EINTR) throw_errno("poll", "the witness's socket");
    if (n < 0) continue;
    auto ready = waiting.cbegin();
    for (auto peer = peers.begin(); peer != peers.end(); ++ready) {
      const bool late = boot_clock_ns() >= peer->until;
      const bool ends = late || (ready->revents != 0 && !go_on(*peer, witness));
      peer = ends ? peers.erase(peer) : std::next(peer);
    }
    if (ready != waiting.cend() && ready->revents != 0) accept_all(socket, peers);
  }
}

journal::Witness::Reply ask_witness(const std::string& where, const std::string& body) {
  const std::int64_t until = boot_clock_ns() + answer_ns;
  Place place;
  const Fd socket = connect_to(where, place, until);
  const std::string host = (place.host.find(':') == std::string::npos ? place.host : "[" + place.host + "]") +
                           (place.port.empty() ? "" : ":" + place.port);
  const std::string request = "POST " + place.prefix + "/add-checkpoint HTTP/1.1\r\nHost: " + host +
                              "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                              "\r\nConnection: close\r\n\r\n" + body;
  for (std::string_view rest = request; !rest.empty();) {
    wait_for(socket, POLLOUT, until, where);
    const ssize_t n = retry_eintr([&] { return ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL); });
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) break;  // it may have replied already
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  Incoming incoming;
  Incoming::State state = Incoming::State::more;
  while (state == Incoming::State::more) {
    wait_for(socket, POLLIN, until, where);
    state = incoming.read(socket);
  }
  journal::Witness::Reply result{.status = 0, .body = {}};
  if (state == Incoming::State::whole) {
    Message reply = incoming.take();
    if (reply.first.starts_with("HTTP/1.") && reply.first.size() >= 12)
      std::from_chars(reply.first.data() + 9, reply.first.data() + 12, result.status);
    result.body = std::move(reply.body);
  }
  if (result.status == 0)
    throw Refusal("the witness at " + where + " did not reply", "check that a witness listens there");
  return result;
}

}  // namespace agentrun::witness
