// Theory of operation
//
// Three processes carry out a plan. P, the caller; C, cloned by P into new namespaces, later pid 1 of the sandbox; X,
// forked by C, later the agent. Each runs a list of verbs, below, in an order that the kernel demands:
//
//   1. C ties itself to P (PDEATHSIG) before it says hello, so there is no moment in which P can die and leave it. It
//   makes
//      itself dumpable: else its id maps are root's to write, and P is no root.
//   2. P writes the id maps. Until then C has no ids, so nothing of C's may create files.
//   3. C needs capabilities for everything up to drop_privileges. When something may leave, the sockets that egress
//   serves are made here, in C's network namespace, and passed up. The packet filter is loaded by a program of the host
//      that P started earlier; when the ids are mapped it enters C's user and network namespaces and works beside C. P
//      compares what the kernel lists with what was wanted before it lets anybody go.
//   4. The limit of user namespaces is written through the new /proc before that is made read-only.
//   5. The terminal is opened in the new devpts, so after pivot_root.
//   6. X is forked without any capability. It enters Landlock, tries the seal, loads the filter last, because the
//   filter
//      refuses much of what comes before it, and then does nothing that is trapped until it is told to go.
//   7. P takes the listener out of X with pidfd_getfd: X is dumpable for that; nobody of the sandbox can use it,
//   because no
//      code of the agent runs yet. For the same reason C stays dumpable until go: the broker joins its namespaces by
//      pidfd.
//   8. "Go" passes through C, which first makes itself undumpable and enters its own filter. Only then X execs.
//
// A verb that fails throws; the process tells P the stage, the call, the object and the errno, and ends. P kills C, and
// with pid 1 the kernel kills the rest. Nothing is left on disk: every mount is in the namespace of C.
#include "sandbox/launch/launch.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <span>

#include "sandbox/launch/agent_exec.h"
#include "sandbox/launch/id_maps.h"
#include "sandbox/launch/init.h"
#include "sandbox/launch/launch_wire.h"
#include "sandbox/launch/pty.h"
#include "sandbox/launch/seal.h"
#include "sandbox/mounts/mounts.h"
#include "sandbox/net/egress_sockets.h"
#include "sandbox/net/net.h"
#include "sandbox/restrict/landlock.h"
#include "sandbox/restrict/resource_limits.h"

namespace agentrun::sandbox {

namespace {

constexpr int set_up_deadline_ms = 30'000;
constexpr int status_failed = 125;

// ---- C and X: the child's side
// -------------------------------------------------------------------------------------------------

/// Is there a broker, to take the agent's calls?
bool is_trapped(const Plan& plan) {
  return plan.filter != filter::Variant::agent_floor_only;
}

struct Child {
  const Plan& plan;
  Fd status;
  std::optional<View> view = {};
  Fd slave = {};
  Fd go_read = {}, go_write = {};
  Fd listener = {};
  pid_t agent = -1;
};

struct Verb {
  std::string_view stage;
  void (*run)(Child&);
};

void send_hello(Child& child) {
  close_all_from(STDERR_FILENO + 1, {child.status.get()});
  block_signals();
  tie_to_parent();
  send(child.status, Tag::hello);
}

void wait_for_ids(Child& child) {
  const auto answer = receive(child.status);
  if (!answer || answer->tag != Tag::mapped) throw SysError(EPROTO, "receive", "mapped");
  // Only now: the root of a cgroup namespace is the group that its maker stands in (cgroup_namespaces(7)).
  check(::unshare(CLONE_NEWCGROUP), "unshare", "CLONE_NEWCGROUP");
}

void start_session(Child& child) {
  check(::setsid(), "setsid");
  join_new_keyring();
  ::umask(0);  // modes of mount points are the plan's; the plan's umask comes with the limits
  set_host_name(child.plan.hostname);
}

// While it has the capabilities: a port below 1024 and netfilter's messages are nobody's of the sandbox later.
void open_egress(Child& child) {
  if (!child.plan.egress) return;
  make_egress_interfaces();
  const egress::Sockets sockets = make_egress_sockets();
  const PackedSockets packed = pack(sockets);
  send(child.status, Tag::sockets, packed.which, packed.fds);
}

void build_view(Child& child) {
  child.view.emplace();
  child.view->build(child.plan.mounts);
}

void enter_view(Child& child) {
  child.view->enter();
  child.view->verify();
}

void make_terminal(Child& child) {
  if (!child.plan.terminal) return;
  Terminal terminal = open_terminal();
  take_terminal(terminal.slave);
  const std::array fds{terminal.master.get()};
  send(child.status, Tag::terminal, {}, fds);
  child.slave = std::move(terminal.slave);
}

void fork_agent(Child& child) {
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC), "pipe2", "go");
  child.go_read.reset(ends[0]);
  child.go_write.reset(ends[1]);
  child.agent = check(::fork(), "fork", "agent");
}

void release_agent(Child& child) {
  check(::setpgid(child.agent, child.agent), "setpgid", "agent");
  if (child.slave && !child.plan.terminal_held_back) give_foreground(child.slave, child.agent);
  const Fd agent = pidfd_open(child.agent);
  const std::array fds{agent.get()};
  send(child.status, Tag::agent, {}, fds);
  write_all(child.go_write, "a", "go");  // X speaks to P on the same socket: only after this word
  child.view.reset();
  if (!child.plan.terminal_held_back) child.slave.reset();
  child.go_read.reset();
  close_all_from(0, {child.status.get(), child.go_write.get(), child.slave.get()});
  const auto answer = receive(child.status);
  if (!answer || answer->tag != Tag::go) throw SysError(EPROTO, "receive", "go");
  seal_init();
  (void)!::write(child.go_write.get(), "g", 1);  // EPIPE: killed before it went; run_init reports that
  child.go_write.reset();
}

// C's bytes to X: one when P knows X, one to go. Without C there is no X.
void wait_for_init(const Fd& go) {
  char byte = 0;
  if (check(retry_eintr([&] { return ::read(go.get(), &byte, 1); }), "read", "go") != 1) ::_exit(status_failed);
}

void become_agent(Child& child) {
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl", "PR_SET_PDEATHSIG");
  child.go_write.reset();
  wait_for_init(child.go_read);
  child.plan.inherited ? hand_on_signals(*child.plan.inherited) : reset_signals();
  if (child.slave) replace_standard_terminals(child.slave);
  child.slave.reset();
}

void enter_directory(Child& child) {
  const Fd directory = child.view->open(child.plan.cwd, O_PATH | O_DIRECTORY);
  check(::fchdir(directory.get()), "fchdir", child.plan.cwd);
}

void enter_domain(Child& child) {
  enter_landlock(*child.view, child.plan);
  child.view.reset();
}

void load_agent_filter(Child& child) {
  if (!is_trapped(child.plan)) {
    load_filter(child.plan.filter, 0);
    return send(child.status, Tag::ready);
  }
  constexpr unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  child.listener = load_filter(child.plan.filter, flags);
  check(::fcntl(child.listener.get(), F_SETFD, FD_CLOEXEC), "fcntl", "listener");
  send(child.status, Tag::ready, bytes_of(child.listener.get()));
}

void wait_for_go(Child& child) {
  wait_for_init(child.go_read);
  child.listener.reset();  // the broker's alone: a listener of ours would keep trapped calls waiting after its death
}

// Nothing of ours has to be done below the command's limits.
void execute(Child& child) {
  hand_on_limits(child.plan);
  execute_in_path(child.plan.argv, child.plan.environment);
}

constexpr Verb as_init[] = {
    {"user", send_hello},
    {"user", wait_for_ids},
    {"session", start_session},
    {"net", [](Child&) { bring_loopback_up(); }},
    {"net", open_egress},
    {"mounts", build_view},
    {"mounts", enter_view},
    {"terminal", make_terminal},
    {"privileges", [](Child&) { drop_privileges(); }},
    {"limits", [](Child& child) { set_process_limits(child.plan); }},
    {"fork", fork_agent},
};
constexpr Verb as_agent[] = {
    {"agent", become_agent},
    {"cwd", enter_directory},
    {"landlock", enter_domain},
    {"limits", [](Child& child) { set_task_limit(child.plan); }},
    {"seal", [](Child&) { try_the_seal(); }},
    {"filter", load_agent_filter},
    {"go", wait_for_go},
    {"exec", execute},
};
constexpr Verb as_parent_of_agent[] = {{"init", release_agent}};

/// Runs the verbs; a failure is told to P and ends the process.
void run(std::span<const Verb> verbs, Child& child) noexcept {
  std::string_view stage;
  Failure failure;
  try {
    for (const Verb& verb : verbs) {
      stage = verb.stage;
      verb.run(child);
    }
    return;
  } catch (const SysError& error) {
    failure = {std::string(stage), error.call(), error.object(), error.error()};
  } catch (const std::exception& error) {
    failure = {std::string(stage), "set-up", error.what(), ENOTRECOVERABLE};
  }
  try {
    send(child.status, Tag::failure, encode(failure));
  } catch (const std::exception&) {
    ::_exit(status_failed);  // P is gone, or sees the end of the socket
  }
  ::_exit(failure.stage == "exec" ? exec_status(failure.error) : status_failed);
}

[[noreturn]] void run_child(const Plan& plan, Fd status) noexcept {
  Child child{.plan = plan, .status = std::move(status)};
  run(as_init, child);
  if (child.agent == 0) {
    run(as_agent, child);
    ::_exit(status_failed);
  }
  run(as_parent_of_agent, child);
  run_init(child.status, child.agent, child.slave, child.plan.wall_seconds);
}

// ---- P: the parent's side
// ------------------------------------------------------------------------------------------------------

std::array<Fd, 2> make_socket_pair() {
  std::array<int, 2> ends{};
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), "socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

/// Waits for the next word of C or X; a failure that it tells is thrown. `agent` may be empty: X is not known yet.
Message expect(const Fd& status, Tag tag, const Fd& agent = {}) {
  std::array<pollfd, 2> polled{
      {{.fd = status.get(), .events = POLLIN, .revents = 0}, {.fd = agent.get(), .events = POLLIN, .revents = 0}}};
  const int ready = retry_eintr([&] { return ::poll(polled.data(), polled.size(), set_up_deadline_ms); });
  if (check(ready, "poll", "child") == 0) throw SysError(ETIMEDOUT, "poll", "child");
  if (polled[0].revents == 0) throw SysError(ECONNRESET, "poll", "agent");  // X is dead and had no word to say
  auto word = receive(status);
  if (!word) throw SysError(ECONNRESET, "receive", "child");
  if (word->tag == Tag::failure) throw launch_error(decode_failure(word->payload));
  if (word->tag != tag) throw SysError(EPROTO, "receive", "child");
  return std::move(*word);
}

Fd take_fd(Message word) {
  if (word.fds.size() != 1) throw SysError(EPROTO, "receive", "descriptor");
  return std::move(word.fds.front());
}

/// The process behind a pidfd, as this process's /proc numbers it (pidfd_open(2), fdinfo).
pid_t pid_of(const Fd& pidfd) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(pidfd.get());
  const std::string text = read_file(path);
  constexpr std::string_view key = "\nPid:\t";
  const std::size_t at = text.find(key);
  pid_t pid = -1;
  if (at != std::string::npos) std::from_chars(text.data() + at + key.size(), text.data() + text.size(), pid);
  if (pid <= 0) throw SysError(ESRCH, "read", path);
  return pid;
}

pid_t clone_child(Fd& pidfd, const Group& group) {
  int fd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD |
               CLONE_CLEAR_SIGHAND;
  if (group) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(group.directory().get());
  }
  args.pidfd = reinterpret_cast<std::uintptr_t>(&fd);
  args.exit_signal = SIGCHLD;
  const long pid = check(::syscall(SYS_clone3, &args, sizeof args), "clone3", "namespaces");
  if (pid != 0) pidfd.reset(fd);
  return static_cast<pid_t>(pid);
}

}  // namespace

LaunchError launch_error(const Failure& failure) {
  return {failure.stage, failure.call, failure.object, failure.error, remedy_for(failure, read_knobs())};
}

namespace {

/// A call of P that failed because its child did: what the child told of it is the cause, `otherwise` only the symptom.
Failure cause(const Fd& status, Failure otherwise) noexcept {
  try {
    pollfd poll{.fd = status.get(), .events = POLLIN, .revents = 0};
    while (status && ::poll(&poll, 1, 0) > 0) {
      const auto word = receive(status);
      if (!word) break;
      if (word->tag == Tag::failure) return decode_failure(word->payload);
    }
  } catch (const std::exception&) {
    return otherwise;
  }
  return otherwise;
}

}  // namespace

namespace {

/// As cause(); a child that was killed for want of memory could not tell.
LaunchError error_of(const auto& state, Failure otherwise) {
  Failure failure = cause(state.status, std::move(otherwise));
  const bool mute = failure.error == ECONNRESET || failure.error == EPIPE || failure.error == ESRCH;
  if (mute && state.group.oom_kills() + state.scope.group().oom_kills() > 0)
    failure = {"limits", "start", "in limits.memory", ENOMEM};
  return launch_error(failure);
}

}  // namespace

Sandbox Sandbox::start(const Plan& plan, RulesetLoader loader) {
  Sandbox sandbox = begin(plan, std::move(loader));
  sandbox.await();
  return sandbox;
}

Sandbox Sandbox::begin(const Plan& plan, RulesetLoader loader) {
  auto state = std::make_unique<State>();
  std::string_view stage = "limits";
  try {
    if (plan.limits.carrier == LimitsPlan::Carrier::subtree)
      state->group = Group::make(plan.limits.parent, plan.limits.grouped);
    stage = "clone";
    auto [mine, theirs] = make_socket_pair();
    state->init_pid = clone_child(state->init, state->group);
    if (state->init_pid == 0) run_child(plan, std::move(theirs));
    state->status = std::move(mine);
    theirs.reset();
    stage = "user";
    expect(state->status, Tag::hello);
    stage = "limits";
    if (plan.limits.carrier == LimitsPlan::Carrier::scope) state->scope = Scope(state->init_pid, plan.limits.grouped);
    stage = "user";
    write_id_maps(state->init_pid, plan.uid, plan.gid);
    send(state->status, Tag::mapped);
    stage = "net";
    loader.load(state->init, plan.ruleset);
    state->loader.emplace(std::move(loader));
    state->ruleset = plan.ruleset;
    state->wants_terminal = plan.terminal;
    state->trapped = is_trapped(plan);
    state->wants_sockets = plan.egress;
  } catch (const SysError& error) {
    throw error_of(*state, {std::string(stage), error.call(), error.object(), error.error()});
  }
  return Sandbox(std::move(state));
}

void Sandbox::await() {
  State& s = *state_;
  std::string_view stage = "launch";
  try {
    if (s.wants_sockets) {
      Message word = expect(s.status, Tag::sockets);
      s.sockets = unpack_sockets(word.payload, std::move(word.fds));
    }
    if (s.wants_terminal) s.terminal = take_fd(expect(s.status, Tag::terminal));
    s.agent = take_fd(expect(s.status, Tag::agent));
    s.agent_pid = pid_of(s.agent);
    const Message ready = expect(s.status, Tag::ready, s.agent);
    stage = "listener";
    if (s.trapped) s.listener = pidfd_getfd(s.agent, int_of(ready.payload).value_or(-1));
    stage = "net";
    s.loader.value().join(s.ruleset);
    s.loader.reset();
  } catch (const SysError& error) {
    throw error_of(s, {std::string(stage), error.call(), error.object(), error.error()});
  }
}

}  // namespace agentrun::sandbox
