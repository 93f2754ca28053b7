// execve, execveat and connect: judged and recorded here, carried out by the kernel under the floor.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "broker/handler.h"
#include "broker/loader.h"

namespace agentrun::broker {

using policy::Act;
using policy::Right;

Reply Handler::execute(Case& c) {
  const Request& r = c.request;
  Object object;
  const int error = r.descriptor ? resolver_.descriptor(c.task, r.fd, object)
                                 : resolver_.object(c.task, r.name, r.follow, 0, object);
  if (error != 0) return refuse(c, Right::execute, error);
  if (S_ISLNK(object.mode)) return refuse(c, Right::execute, ELOOP);  // execveat with AT_SYMLINK_NOFOLLOW
  c.right = Right::execute;
  c.path = object.path;
  c.identity = {object.dev, object.ino};
  c.verdict = s_.policy.decide_execute(object.path, arguments_of(r.argv, !r.argv_cut));
  if (c.verdict.act == Act::allow && is_loader(object.path)) c.verdict = judge_launched(c.task, r.argv, !r.argv_cut);
  c.verdict = with_pins(c.verdict, object.path, [&] { return content_of(object); });
  if (!object.in_view) c.verdict = {.act = Act::deny, .by = policy::By::fallback, .rule = nullptr};
  if (const int denied = permit(c, "continue"); denied != 0) return Reply::error(denied);
  s_.claims.put(c.task.pid, {.tid = c.task.tid, .path = object.path, .before = c.task.exe});
  s_.in_hand.wait_for_all();
  return Reply::proceed(FloorCovers{"Landlock EXECUTE, noexec mounts"});
}

namespace {

// The destination of an inet connect; nullopt for anything else, which the kernel then judges by itself.
std::optional<policy::Destination> destination_of(const Request& r) {
  policy::Destination to;
  if (r.address.ss_family == AF_INET && r.address_size >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &r.address, sizeof in);
    std::memcpy(to.address, &in.sin_addr, sizeof in.sin_addr);
    to.port = ntohs(in.sin_port);
    return to;
  }
  constexpr std::size_t rfc2133_size = 24;  // SIN6_LEN_RFC2133: without the scope id
  if (r.address.ss_family == AF_INET6 && r.address_size >= rfc2133_size) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &r.address, std::min<std::size_t>(sizeof in6, r.address_size));
    to.v6 = true;
    std::memcpy(to.address, &in6.sin6_addr, sizeof in6.sin6_addr);
    to.port = ntohs(in6.sin6_port);
    return to;
  }
  return std::nullopt;
}

std::string unix_path(const Request& r) {
  sockaddr_un un{};
  if (r.address_size <= sizeof(sa_family_t)) return {};
  std::memcpy(&un, &r.address, std::min<std::size_t>(sizeof un, r.address_size));
  const std::size_t size = std::min<std::size_t>(r.address_size, sizeof un) - sizeof(sa_family_t);
  std::string path(un.sun_path, size);
  if (path[0] == '\0') path[0] = '@';  // abstract: all bytes count
  else path.resize(path.find('\0') == std::string::npos ? path.size() : path.find('\0'));
  return path;
}

}  // namespace

// Without egress every way out is closed by the floor (a namespace with only lo, and an nftables policy of drop): a
// raced address meets the same wall. So the kernel connects, and the decision gives the errno, the record and the remedy.
Reply Handler::connect(Case& c) {
  const Request& r = c.request;
  c.right = Right::change;
  if (const auto to = destination_of(r)) {
    c.destination = to;
    c.verdict = s_.policy.decide_connect(*to);
    if (const int denied = permit(c, "continue"); denied != 0) return Reply::error(denied);
    return Reply::proceed(FloorCovers{"network namespace, nftables"});
  }
  c.verdict = {.act = Act::allow, .by = policy::By::rule, .rule = nullptr};  // the floor's own rule
  if (r.address.ss_family == AF_UNIX) {
    c.path_req = unix_path(r);
    c.path = c.path_req.starts_with('@') ? c.path_req : Resolver::lexical(c.task, Name{.path = c.path_req});
  }
  if (const int denied = permit(c, "continue"); denied != 0) return Reply::error(denied);
  return Reply::proceed(FloorCovers{"view, network namespace, nftables"});
}

}  // namespace agentrun::broker
