// The network's bench: a server, and clients that time themselves. Its first byte is none of TLS, HTTP or a word, so
// that a relay that looks at first bytes does its whole work.
//   net-loop serve ADDRESS PORT
//   net-loop bulk HOST PORT SECONDS            one flow: {"gbit": …}
//   net-loop connect HOST PORT COUNT PARALLEL  connect, one byte there, one back, end: {"per_second": …}
// PROXY=ADDRESS:PORT in the environment: the clients go through an HTTP proxy by CONNECT.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>

using namespace agentrun;

namespace {

constexpr char ask_bulk = '\1', ask_byte = '\2';
constexpr std::size_t piece_size = 256 * 1024;

struct Free {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, Free>;

Addresses look_up(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list); error != 0)
    throw Refusal(host + ": " + ::gai_strerror(error));
  return Addresses(list);
}

void no_delay(const Fd& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void answer(Fd socket) {
  no_delay(socket);
  char what = 0;
  if (::recv(socket.get(), &what, 1, 0) != 1) return;
  std::vector<char> piece(piece_size);
  if (what == ask_bulk) {
    while (::recv(socket.get(), piece.data(), piece.size(), 0) > 0) {
    }
  }
  ::send(socket.get(), &what, 1, MSG_NOSIGNAL);
}

void serve(const std::string& address, const std::string& port) {
  const Addresses at = look_up(address, port);
  const Fd listener(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  check(::bind(listener.get(), at->ai_addr, at->ai_addrlen), "bind", address);
  check(::listen(listener.get(), SOMAXCONN), "listen");
  constexpr int acceptors = 4;
  const auto work = [&] {
    for (;;) {
      Fd socket(check(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept"));
      answer(std::move(socket));
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < acceptors; ++i) threads.emplace_back(work);
  work();
}

struct Target {
  std::string host, port;
  Addresses at;  // of the host, or of the proxy
  bool proxy = false;
};

Target target_of(const std::string& host, const std::string& port) {
  const char* const proxy = std::getenv("PROXY");
  if (proxy == nullptr) return {host, port, look_up(host, port), false};
  const std::string text(proxy);
  const std::size_t colon = text.rfind(':');
  return {host, port, look_up(text.substr(0, colon), text.substr(colon + 1)), true};
}

Fd connect_to(const Target& target) {
  Fd socket(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  no_delay(socket);
  check(::connect(socket.get(), target.at->ai_addr, target.at->ai_addrlen), "connect", target.host);
  if (!target.proxy) return socket;
  const std::string request =
      "CONNECT " + target.host + ":" + target.port + " HTTP/1.1\r\nHost: " + target.host + "\r\n\r\n";
  check(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL), "send");
  std::string head;
  for (char byte = 0; !head.ends_with("\r\n\r\n"); head.push_back(byte)) {
    if (::recv(socket.get(), &byte, 1, 0) != 1) throw Refusal("the proxy closed the connection");
  }
  if (head.find(" 200 ") == std::string::npos) throw Refusal("the proxy refused");
  return socket;
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void bulk(const Target& target, double seconds) {
  const Fd socket = connect_to(target);
  std::vector<char> piece(piece_size, ask_bulk);
  std::uint64_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  while (since(start) < seconds) {
    sent += static_cast<std::uint64_t>(check(::send(socket.get(), piece.data(), piece.size(), MSG_NOSIGNAL), "send"));
  }
  ::shutdown(socket.get(), SHUT_WR);
  char byte = 0;
  if (::recv(socket.get(), &byte, 1, 0) != 1) throw Refusal("not all arrived");
  std::printf("{\"gbit\": %.3f}\n", static_cast<double>(sent) * 8 / 1e9 / since(start));
}

void connections(const Target& target, int count, int parallel) {
  std::atomic<int> left = count;
  std::atomic<bool> failed = false;
  const auto work = [&] {
    try {
      while (left.fetch_sub(1) > 0) {
        const Fd socket = connect_to(target);
        char byte = ask_byte;
        check(::send(socket.get(), &byte, 1, MSG_NOSIGNAL), "send");
        if (::recv(socket.get(), &byte, 1, 0) != 1 || byte != ask_byte) throw Refusal("no answer");
      }
    } catch (const std::exception& error) {
      if (!failed.exchange(true)) std::fprintf(stderr, "net-loop: %s\n", error.what());
    }
  };
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < parallel; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failed) throw Refusal("not all connections worked");
  std::printf("{\"per_second\": %.1f}\n", count / since(start));
}

void run(const std::vector<std::string>& words) {
  if (words.size() == 3 && words[0] == "serve") return serve(words[1], words[2]);
  if (words.size() == 4 && words[0] == "bulk") return bulk(target_of(words[1], words[2]), std::stod(words[3]));
  if (words.size() == 5 && words[0] == "connect")
    return connections(target_of(words[1], words[2]), std::stoi(words[3]), std::stoi(words[4]));
  throw Refusal("usage: net-loop serve ADDRESS PORT | bulk HOST PORT SECONDS | connect HOST PORT COUNT PARALLEL");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "net-loop: %s\n", error.what());
    return 1;
  }
}
