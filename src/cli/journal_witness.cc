// journal witness and submit: tlog-witness as HTTP/1.1 over a socket of the file system, one request a connection.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include <agentrun/journal/witness.h>
#include <agentrun/sys/process.h>
#include "cli/common.h"
#include "cli/journal.h"

namespace agentrun::cli {

namespace {

constexpr std::size_t max_head = 8 * 1024;
constexpr std::size_t max_body = 128 * 1024;
constexpr timeval patience{.tv_sec = 5, .tv_usec = 0};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Refusal("the path of a socket has " + std::to_string(sizeof address.sun_path - 1) + " bytes at most: " + path, "choose a shorter one");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

Fd stream_socket() {
  Fd socket(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  return socket;
}

void be_patient(const Fd& socket) {
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), "setsockopt");
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), "setsockopt");
}

void send_all(const Fd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = check(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), "send");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// A message of HTTP/1.1: the first line and the body. nullopt for what is longer than it may be, or is cut off.
struct Message {
  std::string first, body;
};
std::optional<Message> receive(const Fd& socket) {
  std::string bytes;
  std::size_t end = std::string::npos;
  std::size_t length = 0;
  std::array<char, 4096> piece;
  for (;;) {
    if (end == std::string::npos && (end = bytes.find("\r\n\r\n")) != std::string::npos) {
      static constexpr std::string_view name = "content-length:";
      for (std::size_t at = bytes.find("\r\n"); at < end; at = bytes.find("\r\n", at + 2)) {
        const char* line = bytes.c_str() + at + 2;
        if (::strncasecmp(line, name.data(), name.size()) == 0) length = std::strtoul(line + name.size(), nullptr, 10);
      }
      if (length > max_body) return std::nullopt;
    }
    if (end != std::string::npos && bytes.size() >= end + 4 + length)
      return Message{.first = bytes.substr(0, bytes.find("\r\n")), .body = bytes.substr(end + 4, length)};
    if (end == std::string::npos && bytes.size() > max_head) return std::nullopt;
    const ssize_t n = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (n <= 0) return std::nullopt;
    bytes.append(piece.data(), static_cast<std::size_t>(n));
  }
}

std::string response(const journal::Witness::Reply& reply) {
  const char* type = reply.status == 409 ? "text/x.tlog.size" : "text/plain; charset=utf-8";
  return "HTTP/1.1 " + std::to_string(reply.status) + " -\r\nContent-Type: " + type + "\r\nContent-Length: " +
         std::to_string(reply.body.size()) + "\r\nConnection: close\r\n\r\n" + reply.body;
}

void answer(const Fd& socket, journal::Witness& witness) {
  const auto request = receive(socket);
  if (!request) return send_all(socket, response({400, "not a request\n"}));
  if (!request->first.starts_with("POST /add-checkpoint HTTP/1.")) return send_all(socket, response({404, "POST /add-checkpoint\n"}));
  send_all(socket, response(witness.add_checkpoint(request->body)));
}

/// What was left by a witness that was killed is in the way; what one listens to is not taken away.
void listen_at(const Fd& socket, const std::string& path) {
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
  check(::listen(socket.get(), 16), "listen", path);
}

journal::Witness::Reply ask(const std::string& path, const std::string& body) {
  const Fd socket = stream_socket();
  be_patient(socket);
  const sockaddr_un address = address_of(path);
  check(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect", path);
  send_all(socket, "POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nContent-Type: text/plain\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
  const auto reply = receive(socket);
  journal::Witness::Reply result{.status = 0, .body = {}};
  if (reply && reply->first.size() >= 12) std::from_chars(reply->first.data() + 9, reply->first.data() + 12, result.status);
  if (result.status == 0) throw Refusal("the witness at " + path + " did not answer", "is it one?");
  result.body = reply->body;
  return result;
}

}  // namespace

int journal_witness(const Arguments& arguments) {
  if (!arguments.has("--listen") || !arguments.has("--state"))
    throw UsageError("witness needs a socket and a folder", "agent-run journal witness --listen SOCKET --state DIR --key VKEY…");
  std::vector<std::string> logs = arguments.values("--key").empty() ? std::vector<std::string>{} : trusted_keys(arguments);
  journal::Witness witness(arguments.value("--state"), logs);
  const Fd socket = stream_socket();
  listen_at(socket, arguments.value("--listen"));
  std::printf("%s\n", witness.vkey().c_str());
  std::fflush(stdout);
  for (;;) {
    const Fd peer(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      throw_errno("accept", arguments.value("--listen"));
    }
    try {
      be_patient(peer);
      answer(peer, witness);
    } catch (const SysError& e) {
      std::fprintf(stderr, "agent-run: %s\n", e.what());  // one peer that went away is no reason to end
    }
  }
}

int journal_submit(const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.has("--to") || !arguments.has("--witness"))
    throw UsageError("submit needs a witness", "agent-run journal submit --to SOCKET --witness VKEY");
  const std::string state = state_directory(arguments);
  std::string body = journal::submission(state, 0);
  auto reply = ask(arguments.value("--to"), body);
  if (reply.status == 409) {  // it remembers an earlier one: go on from there
    std::uint64_t seen = 0;
    std::from_chars(reply.body.data(), reply.body.data() + reply.body.size(), seen);
    body = journal::submission(state, seen);
    reply = ask(arguments.value("--to"), body);
  }
  if (reply.status == 409 || reply.status == 422) {
    std::printf("FORKED  the witness has seen another index\n");
    return 1;
  }
  if (reply.status != 200) throw Refusal("the witness answered " + std::to_string(reply.status), "403, 404: it must know this identity, see key show");
  const std::string note = journal::cosigned(body, reply.body, arguments.value("--witness"));
  std::fwrite(note.data(), 1, note.size(), stdout);
  return 0;
}

}  // namespace agentrun::cli
