#include "sandbox/net.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <spawn.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace agentrun::sandbox {

namespace {

struct SocketTraits {
  using value_type = nl_sock*;
  static constexpr value_type empty = nullptr;
  static void release(nl_sock* socket) noexcept { ::nl_socket_free(socket); }
};
struct LinkTraits {
  using value_type = rtnl_link*;
  static constexpr value_type empty = nullptr;
  static void release(rtnl_link* link) noexcept { ::rtnl_link_put(link); }
};
struct CapTraits {
  using value_type = cap_t;
  static constexpr value_type empty = nullptr;
  static void release(cap_t set) noexcept { ::cap_free(set); }
};

constexpr int loopback_index = 1;  // the first device of every network namespace

struct Pipe {
  Fd read, write;
};
Pipe make_pipe() {
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}

void raise_ambient_net_admin() {
  const Owned<CapTraits> set(::cap_get_proc());
  constexpr cap_value_t net_admin = CAP_NET_ADMIN;
  if (!set) throw_errno("cap_get_proc");
  check(::cap_set_flag(set.get(), CAP_INHERITABLE, 1, &net_admin, CAP_SET), "cap_set_flag");
  check(::cap_set_proc(set.get()), "cap_set_proc");
  check(::cap_set_ambient(net_admin, CAP_SET), "cap_set_ambient");
}

pid_t spawn(const std::string& program, const Fd& input, const Fd& output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.get(), STDERR_FILENO);
  std::string name = "agent-run-nft";
  std::array<char*, 2> argv{name.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw SysError(error, "posix_spawn", program);
  return pid;
}

std::string read_all(const Fd& fd) {
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t n = check(retry_eintr([&] { return ::read(fd.get(), piece.data(), piece.size()); }), "read", "nft");
    if (n == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view blank = " \t;";
  for (std::size_t begin = line.find_first_not_of(blank); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(blank, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(blank, end);
  }
  return words;
}

std::string word_after(const std::vector<std::string_view>& words, std::string_view key) {
  const auto found = std::ranges::find(words, key);
  return found == words.end() || found + 1 == words.end() ? std::string() : std::string(*(found + 1));
}

}  // namespace

void set_host_name(const std::string& name) {
  check(::sethostname(name.data(), name.size()), "sethostname", name);
}

void bring_loopback_up() {
  const Owned<SocketTraits> socket(::nl_socket_alloc());
  const Owned<LinkTraits> present(::rtnl_link_alloc()), wanted(::rtnl_link_alloc());
  if (!socket || !present || !wanted) throw SysError(ENOMEM, "rtnl_link_alloc", "lo");
  ::rtnl_link_set_ifindex(present.get(), loopback_index);
  ::rtnl_link_set_flags(wanted.get(), IFF_UP);
  int error = ::nl_connect(socket.get(), NETLINK_ROUTE);
  if (error == 0) error = ::rtnl_link_change(socket.get(), present.get(), wanted.get(), 0);
  if (error < 0)
    throw SysError(error == -NLE_PERM ? EPERM : EIO, "rtnl_link_change", std::string("lo: ") + ::nl_geterror(error));
}

std::vector<Chain> chains_of(std::string_view ruleset) {
  std::vector<Chain> chains;
  std::string table;
  enum class In : std::uint8_t { top, in_table, in_chain, in_other } in = In::top;
  while (!ruleset.empty()) {
    const std::size_t end = std::min(ruleset.find('\n'), ruleset.size());
    const auto words = words_of(ruleset.substr(0, end));
    ruleset.remove_prefix(std::min(end + 1, ruleset.size()));
    if (words.empty() || words.front().starts_with('#')) continue;
    const bool opens = words.back() == "{";
    if (words.front() == "}") {
      in = in == In::in_table ? In::top : In::in_table;
    } else if (in == In::top && opens && words.size() == 4 && words[0] == "table") {
      table = std::string(words[1]).append(" ").append(words[2]);
      in = In::in_table;
    } else if (in == In::in_table && opens && words.size() == 3 && words[0] == "chain") {
      chains.push_back({.table = table, .name = std::string(words[1])});
      in = In::in_chain;
    } else if (in == In::in_table && opens) {
      in = In::in_other;
    } else if (in == In::in_chain && words.front() == "type") {
      chains.back().type = word_after(words, "type");
      chains.back().hook = word_after(words, "hook");
      chains.back().policy = word_after(words, "policy");
    } else if (in == In::in_chain) {
      ++chains.back().rules;
    }
  }
  std::ranges::sort(chains, {}, [](const Chain& chain) { return std::tie(chain.table, chain.name); });
  return chains;
}

RulesetLoader::RulesetLoader(const std::string& program, const std::string& ruleset) {
  const Pipe input = make_pipe();
  Pipe output = make_pipe();
  raise_ambient_net_admin();
  pid_ = spawn(program, input.read, output.write);
  check(::cap_reset_ambient(), "cap_reset_ambient");
  output_ = std::move(output.read);
  write_all(input.write, ruleset, "nft");
}

void RulesetLoader::join(const std::string& ruleset) {
  const std::string listing = read_all(output_);
  int status = 0;
  check(retry_eintr([&] { return ::waitpid(pid_, &status, 0); }), "waitpid", "nft");
  pid_ = -1;
  if (status != 0) throw SysError(EIO, "nft", listing.substr(0, listing.find('\n')));
  const auto wanted = chains_of(ruleset);
  if (wanted.empty() || chains_of(listing) != wanted) throw SysError(EPROTO, "nft", "the kernel lists other chains");
}

}  // namespace agentrun::sandbox
