// The state of a dial is told from a deadline: also a result that is known at once is given from the loop, so that who started
// it is never called back from within.
#include "egress/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <agentrun/sys/error.h>
#include "egress/addresses.h"
#include "egress/sockets.h"

namespace agentrun::egress {

namespace {

constexpr std::int64_t whole_ms = 30'000;   // from the question for the name to the connection
constexpr std::int64_t one_of_many_ms = 4'000;  // for an address that is not the last
constexpr std::size_t talk_piece = 4096;

// What the agent is told of an error that is egress's own: to come again later.
int shown(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL ? EAGAIN : error;
}

std::optional<policy::Destination> literal(const std::string& text) {
  policy::Destination to;
  if (::inet_pton(AF_INET, text.c_str(), to.address) == 1) return to;
  to.v6 = true;
  if (::inet_pton(AF_INET6, text.c_str(), to.address) == 1) return to;
  return std::nullopt;
}

}  // namespace

Checked check_addresses(const policy::Policy& policy, OwnAddresses& own, const std::vector<policy::Destination>& found, const FlowFacts& facts) {
  Checked checked;
  for (policy::Destination to : found) {
    to.port = facts.to.port;
    to.protocol = facts.to.protocol;
    const AddressKind kind = classify(to);
    const policy::Rule* const stops = facts.name.empty() ? nullptr : policy.stops_address(to, facts.program);
    const bool is_public = kind == AddressKind::open && !own.has(to);
    if (stops == nullptr && (is_public || policy.names_address(to, facts.program))) {
      checked.addresses.push_back(to);
      continue;
    }
    if (!checked.refused.empty()) continue;
    checked.refused = address_text(to) + " (" + (stops != nullptr ? "rule " + stops->id : kind == AddressKind::open ? "of this host" : std::string(name(kind))) + ")";
    if (stops == nullptr) checked.remedy = "network: {allow: [\"" + endpoint_text(to) + "\"]}";
  }
  return checked;
}

Dial::~Dial() { context_.lookup.forget(ticket_); }

void Dial::start() {
  end_ns_ = context_.loop.now_ns() + whole_ms * 1'000'000;
  context_.loop.set_deadline(*this, whole_ms);
  proxy_ = context_.proxies.choose(facts_.name, facts_.to);
  if (proxy_ != nullptr) outcome_.via = proxy_->text();
  std::string name = proxy_ != nullptr ? proxy_->host : facts_.name;
  Found known;
  if (proxy_ != nullptr) {
    // A proxy is the host's choice and may stand anywhere; where it is to connect to is the agent's, and is checked as far
    // as it is a number.
    if (facts_.name.empty() && check_addresses(context_.policy, context_.own, {facts_.to}, facts_).addresses.empty()) {
      proxy_ = nullptr;
      known.addresses.push_back(facts_.to);
      return looked_up(known);
    }
    if (const auto address = literal(name)) known.addresses.push_back(*address);
  } else if (name.empty()) {
    known.addresses.push_back(facts_.to);
  }
  if (!known.addresses.empty()) return looked_up(known);
  ticket_ = context_.lookup.find(name, [this](const Found& found) {
    ticket_ = 0;
    looked_up(found);
  });
}

void Dial::looked_up(const Found& found) {
  if (found.addresses.empty()) return fail(found.error, found.reason);
  if (proxy_ != nullptr) {
    addresses_ = found.addresses;
    for (policy::Destination& to : addresses_) to.port = proxy_->port;
  } else {
    Checked checked = check_addresses(context_.policy, context_.own, found.addresses, facts_);
    addresses_ = std::move(checked.addresses);
    if (addresses_.empty()) {
      const std::string what =
          facts_.name.empty() ? endpoint_text(facts_.to) : facts_.name + ":" + std::to_string(facts_.to.port);
      const bool named = !facts_.name.empty();
      context_.recorder.deny("connect " + what + (named ? ", which leads to " : ": ") + checked.refused, checked.remedy);
      return fail(EACCES, "not dialed: " + checked.refused, checked.remedy);
    }
  }
  connect_next();
}

void Dial::connect_next() {
  state_ = State::connecting;
  while (next_ < addresses_.size()) {
    outcome_.socket.reset();
    watched_ = false;
    const policy::Destination& to = addresses_[next_++];
    const int error = begin_connect(to);
    outcome_.error = error;
    if (error != 0) continue;
    if (proxy_ == nullptr) outcome_.peer = to;
    if (is_over()) {
      outcome_.error = pending_error(outcome_.socket);
      if (outcome_.error != 0) continue;
      return connected();
    }
    if (!watch(EPOLLOUT)) {
      outcome_.error = errno;
      continue;
    }
    const std::int64_t left = (end_ns_ - context_.loop.now_ns()) / 1'000'000;
    const bool last = next_ == addresses_.size();
    context_.loop.set_deadline(*this, std::max<std::int64_t>(0, last ? left : std::min(left, one_of_many_ms)));
    return;
  }
  fail(outcome_.error, {});
}

int Dial::begin_connect(const policy::Destination& to) {
  const int type = to.protocol == policy::Protocol::udp ? SOCK_DGRAM : SOCK_STREAM;
  outcome_.socket = Fd(::socket(to.v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!outcome_.socket) return errno;
  const Address address(to);
  return ::connect(outcome_.socket.get(), address.get(), address.size()) != 0 && errno != EINPROGRESS ? errno : 0;
}

// What is near answers within connect(2): then the loop need not hear of it.
bool Dial::is_over() const noexcept {
  pollfd socket{.fd = outcome_.socket.get(), .events = POLLOUT, .revents = 0};
  return ::poll(&socket, 1, 0) == 1;
}

bool Dial::watch(std::uint32_t events) noexcept {
  if (watched_) context_.loop.modify(outcome_.socket.get(), events, *this);
  else watched_ = context_.loop.add(outcome_.socket.get(), events, *this);
  return watched_;
}

void Dial::ready(unsigned /*tag*/, std::uint32_t events) {
  if (state_ == State::talking) return talk(events);
  if (state_ != State::connecting) return;
  outcome_.error = pending_error(outcome_.socket);
  if (outcome_.error != 0) return connect_next();
  connected();
}

void Dial::connected() {
  if (proxy_ == nullptr) return finish();
  state_ = State::talking;
  talk_.emplace(*proxy_, facts_.name, facts_.to);
  context_.loop.set_deadline(*this, std::max<std::int64_t>(0, (end_ns_ - context_.loop.now_ns()) / 1'000'000));
  unsent_ = talk_->take_output();
  if (!send_talk()) fail(EHOSTUNREACH, "the proxy failed");
}

// What was sent decides what is waited for next.
bool Dial::send_talk() {
  while (!unsent_.empty()) {
    const ssize_t n = ::send(outcome_.socket.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) break;
    unsent_.erase(0, static_cast<std::size_t>(n));
  }
  return watch(unsent_.empty() ? EPOLLIN : EPOLLOUT);
}

void Dial::talk(std::uint32_t events) {
  if ((events & EPOLLIN) != 0) {
    std::array<char, talk_piece> piece;
    const ssize_t n = ::recv(outcome_.socket.get(), piece.data(), piece.size(), MSG_PEEK);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return fail(EHOSTUNREACH, "the proxy closed the connection");
    const std::size_t used = talk_->take_input({piece.data(), static_cast<std::size_t>(n)});
    // Taken out of the socket is only what was the proxy's: what follows is the first of the flow.
    if (used > 0) discard(outcome_.socket, used);
    if (talk_->state() == ProxyTalk::State::failed) return fail(talk_->error(), talk_->reason());
    if (talk_->state() == ProxyTalk::State::through) return finish();
    if (used == 0) return fail(EPROTO, "the proxy speaks out of turn");
    unsent_ += talk_->take_output();
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    return fail(EHOSTUNREACH, "the proxy closed the connection");
  }
  if (!send_talk()) fail(EHOSTUNREACH, "the proxy failed");
}

void Dial::fail(int error, std::string_view reason, const std::string& remedy) {
  outcome_.socket.reset();
  outcome_.peer.reset();
  outcome_.error = shown(error);
  outcome_.reason = reason;
  outcome_.remedy = remedy;
  finish();
}

void Dial::finish() {
  if (outcome_.socket && watched_) context_.loop.remove(outcome_.socket.get());
  watched_ = false;
  state_ = State::finished;
  context_.loop.set_deadline(*this, 0);
}

void Dial::expired() {
  if (state_ == State::finished) {
    const Done done = std::move(done_);
    return done(std::move(outcome_));
  }
  context_.lookup.forget(std::exchange(ticket_, 0));
  if (state_ == State::connecting) {
    outcome_.error = ETIMEDOUT;
    return connect_next();
  }
  if (state_ == State::talking) return fail(ETIMEDOUT, "the proxy did not answer");
  fail(EHOSTUNREACH, "the name could not be looked up in time");
}

}  // namespace agentrun::egress
