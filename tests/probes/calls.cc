// C3: every kernel interface that the floor refuses, whatever the profile says.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/kernel_abi.h>
#include <agentrun/sys/process.h>

#include "probe.h"

namespace {

using agentrun::Fd;
using probe::address;
using probe::Arguments;
using probe::Outcome;

constexpr unsigned long above_32_bits = 1UL << 32;

// ---- C3: kernel interfaces, by calls that no kernel completes
// ------------------------------------------------------------

struct Refused {
  const char* name;
  long number;
  std::array<unsigned long, 5> arguments;
};

constexpr unsigned long bad = ~0UL;
constexpr const char* nowhere = "/nonexistent/agent-run-probe";

/// Arguments are chosen so that a kernel that looks at them fails after its permission checks, without any effect.
Outcome reach(const Refused& row) {
  const auto& a = row.arguments;
  return probe::reached(probe::call(static_cast<unsigned long>(row.number), a[0], a[1], a[2], a[3], a[4]));
}

const std::array unprivileged_rows{
    Refused{"mount", SYS_mount, {0, address(nowhere), 0, 0, 0}},
    Refused{"umount2", SYS_umount2, {address(nowhere), 0, 0, 0, 0}},
    Refused{"chroot", SYS_chroot, {address(nowhere), 0, 0, 0, 0}},
    Refused{"setns", SYS_setns, {bad, 0, 0, 0, 0}},
    Refused{"open-tree", SYS_open_tree, {bad, address("x"), 0, 0, 0}},
    Refused{"perf-event-open", SYS_perf_event_open, {0, 0, bad, bad, 0}},
    Refused{
        "keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, static_cast<unsigned long>(KEY_SPEC_SESSION_KEYRING), 0, 0, 0}},
    Refused{"request-key", SYS_request_key, {address("user"), address("agent-run-probe"), 0, 0, 0}},
    Refused{"userfaultfd", SYS_userfaultfd, {UFFD_USER_MODE_ONLY, 0, 0, 0, 0}},
    Refused{"pidfd-getfd", SYS_pidfd_getfd, {bad, 0, 0, 0, 0}},
    Refused{"adjtimex", SYS_adjtimex, {0, 0, 0, 0, 0}},
    Refused{"personality", SYS_personality, {0x0400000, 0, 0, 0, 0}},
};
const std::array mount_rows{
    Refused{"move-mount", SYS_move_mount, {bad, address(""), bad, address(""), bad}},
    Refused{"fsopen", SYS_fsopen, {address("tmpfs"), 0, 0, 0, 0}},
    Refused{"fsconfig", SYS_fsconfig, {bad, bad, 0, 0, 0}},
    Refused{"fsmount", SYS_fsmount, {bad, 0, 0, 0, 0}},
    Refused{"fspick", SYS_fspick, {bad, address("x"), 0, 0, 0}},
    Refused{"mount-setattr", SYS_mount_setattr, {bad, address("x"), 0, 0, 0}},
    Refused{"pivot-root", SYS_pivot_root, {address(nowhere), address(nowhere), 0, 0, 0}},
};
const std::array privileged_rows{
    Refused{"bpf", SYS_bpf, {0, 0, 0, 0, 0}},
    Refused{"open-by-handle-at", SYS_open_by_handle_at, {static_cast<unsigned long>(AT_FDCWD), 0, 0, 0, 0}},
    Refused{"acct", SYS_acct, {address(nowhere), 0, 0, 0, 0}},
    Refused{"swapon", SYS_swapon, {address(nowhere), 0, 0, 0, 0}},
    Refused{"swapoff", SYS_swapoff, {address(nowhere), 0, 0, 0, 0}},
    Refused{"reboot", SYS_reboot, {0, 0, 0, 0, 0}},
    Refused{"sethostname", SYS_sethostname, {0, bad, 0, 0, 0}},
    Refused{"setdomainname", SYS_setdomainname, {0, bad, 0, 0, 0}},
    Refused{"settimeofday", SYS_settimeofday, {1, 0, 0, 0, 0}},
    Refused{"clock-settime", SYS_clock_settime, {0, 1, 0, 0, 0}},
    Refused{"syslog", SYS_syslog, {10, 0, 0, 0, 0}},
};
/// Not in every kernel.
const std::array optional_rows{
    Refused{"ioperm", SYS_ioperm, {0x80, 1, 1, 0, 0}},
    Refused{"init-module", SYS_init_module, {0, 0, address(""), 0, 0}},
    Refused{"finit-module", SYS_finit_module, {bad, address(""), 0, 0, 0}},
    Refused{"delete-module", SYS_delete_module, {address("agent_run_probe"), 0, 0, 0, 0}},
    Refused{"kexec-load", SYS_kexec_load, {0, 0, 0, bad, 0}},
    Refused{"kexec-file-load", SYS_kexec_file_load, {bad, bad, 0, 0, bad}},
    Refused{"quotactl", SYS_quotactl, {bad, 0, 0, 0, 0}},
    Refused{"statmount", agentrun::abi::sys_statmount, {0, 0, 0, 0, 0}},
    Refused{"file-setattr", agentrun::abi::sys_file_setattr, {bad, address("x"), 0, 0, 0}},
};

template <std::size_t N>
std::array<probe::Act, N> acts_of(const std::array<Refused, N>& rows, void (*before)() noexcept) {
  std::array<probe::Act, N> acts;
  for (std::size_t i = 0; i < N; ++i) {
    acts[i] = {rows[i].name, [&row = rows[i], before](const Arguments&) {
                 if (before != nullptr) before();
                 return reach(row);
               }};
  }
  return acts;
}

// ---- C3: kernel interfaces, used for real
// ----------------------------------------------------------------------------------

/// A namespace of its own, with a user namespace first where that gives the right to it.
Outcome unshare_with(unsigned long flag) {
  if (probe::call(SYS_unshare, flag) == 0) return {};
  return probe::from(probe::call(SYS_unshare, flag | CLONE_NEWUSER));
}

Outcome clone_newuser(const Arguments&) {
  const long child = probe::call(SYS_clone, CLONE_NEWUSER | SIGCHLD);
  if (child == 0) _exit(0);
  if (child > 0) waitpid(static_cast<pid_t>(child), nullptr, 0);
  return probe::from(child);
}

Outcome clone3_newuser(const Arguments&) {
  std::array<std::uint64_t, 11> arguments{};  // struct clone_args; flags come first, exit_signal is the fifth
  arguments[0] = CLONE_NEWUSER;
  arguments[4] = SIGCHLD;
  const long child = probe::call(SYS_clone3, address(arguments.data()), sizeof arguments);
  if (child == 0) _exit(0);
  if (child > 0) waitpid(static_cast<pid_t>(child), nullptr, 0);
  return probe::from(child);
}

Outcome mount_tmpfs(const Arguments& a) {
  probe::own_mounts();
  return probe::from(probe::call(SYS_mount, address("none"), address(a.get("root").c_str()), address("tmpfs"), 0, 0));
}

Outcome bind_over(const Arguments& a) {
  probe::own_mounts();
  return probe::from(probe::call(SYS_mount, address("/usr"), address(a.get("root").c_str()), 0, MS_BIND | MS_REC, 0));
}

Outcome setns_self(const Arguments&) {
  probe::own_mounts();
  const Fd ns(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  return probe::from(probe::call(SYS_setns, static_cast<unsigned long>(ns.get()), 0));
}

Outcome open_tree_clone(const Arguments& a) {
  probe::own_mounts();
  return probe::from(probe::call(SYS_open_tree, static_cast<unsigned long>(AT_FDCWD), address(a.get("root").c_str()),
                                 OPEN_TREE_CLONE));
}

Outcome chroot_real(const Arguments& a) {
  probe::own_mounts();
  return probe::from(probe::call(SYS_chroot, address(a.get("root").c_str())));
}

Outcome name_to_handle(const Arguments& a) {
  alignas(file_handle) std::array<char, sizeof(file_handle) + 128> handle{};
  reinterpret_cast<file_handle*>(handle.data())->handle_bytes = 128;
  int mount_id = 0;
  return probe::from(probe::call(SYS_name_to_handle_at, static_cast<unsigned long>(AT_FDCWD),
                                 address(a.get("root").c_str()), address(handle.data()), address(&mount_id), 0));
}

Outcome add_key(const Arguments&) {
  return probe::from(probe::call(SYS_add_key, address("user"), address("agent-run-probe"), address("x"), 1,
                                 static_cast<unsigned long>(KEY_SPEC_PROCESS_KEYRING)));
}

Outcome process_vm_writev_self(const Arguments&) {
  char from = 'x', to = 'y';
  const iovec local{.iov_base = &from, .iov_len = 1}, remote{.iov_base = &to, .iov_len = 1};
  const long result = probe::call(SYS_process_vm_writev, static_cast<unsigned long>(getpid()), address(&local), 1,
                                  address(&remote), 1, 0);
  return probe::effect(to == 'x', result < 0 ? errno : 0);
}

Outcome pidfd_getfd_child(const Arguments&) {
  const pid_t child = agentrun::check(fork(), "fork");
  if (child == 0) {
    pause();
    _exit(0);
  }
  const Fd pidfd = agentrun::pidfd_open(child);
  const Outcome outcome = probe::from(probe::call(SYS_pidfd_getfd, static_cast<unsigned long>(pidfd.get()), 1, 0));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return outcome;
}

Outcome new_listener(const Arguments&) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program{.len = 1, .filter = &allow};
  return probe::from(
      probe::call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, address(&program)));
}

Outcome memfd_exec(const Arguments&) {
  return probe::from(probe::call(SYS_memfd_create, address("probe"), agentrun::abi::mfd_exec));
}

/// The inode flags of one's own file: FS_IOC_SETFLAGS works on a descriptor that was opened to read.
Outcome set_inode_flags(const Arguments& a, unsigned long high_bits) {
  const Fd file(open(a.get("readable").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return probe::from(-1, "open");
  int flags = 0;
  if (probe::call(SYS_ioctl, static_cast<unsigned long>(file.get()), FS_IOC_GETFLAGS, address(&flags)) < 0) flags = 0;
  flags ^= FS_NODUMP_FL;
  return probe::from(
      probe::call(SYS_ioctl, static_cast<unsigned long>(file.get()), high_bits | FS_IOC_SETFLAGS, address(&flags)));
}

const std::array kernel{
    probe::Act{"unshare-user", [](const Arguments&) { return unshare_with(CLONE_NEWUSER); }},
    probe::Act{"unshare-mount", [](const Arguments&) { return unshare_with(CLONE_NEWNS); }},
    probe::Act{"unshare-net", [](const Arguments&) { return unshare_with(CLONE_NEWNET); }},
    probe::Act{"unshare-pid", [](const Arguments&) { return unshare_with(CLONE_NEWPID); }},
    probe::Act{"unshare-ipc", [](const Arguments&) { return unshare_with(CLONE_NEWIPC); }},
    probe::Act{"unshare-uts", [](const Arguments&) { return unshare_with(CLONE_NEWUTS); }},
    probe::Act{"unshare-cgroup", [](const Arguments&) { return unshare_with(CLONE_NEWCGROUP); }},
    probe::Act{"unshare-time", [](const Arguments&) { return unshare_with(CLONE_NEWTIME); }},
    probe::Act{"clone-newuser", clone_newuser},
    probe::Act{"clone3-newuser", clone3_newuser},
    probe::Act{"mount-tmpfs", mount_tmpfs},
    probe::Act{"bind-over", bind_over},
    probe::Act{"setns-self", setns_self},
    probe::Act{"open-tree-clone", open_tree_clone},
    probe::Act{"chroot-real", chroot_real},
    probe::Act{"name-to-handle", name_to_handle},
    probe::Act{"add-key", add_key},
    probe::Act{"process-vm-writev", process_vm_writev_self},
    probe::Act{"pidfd-getfd-child", pidfd_getfd_child},
    probe::Act{"seccomp-new-listener", new_listener},
    probe::Act{"memfd-exec", memfd_exec},
    probe::Act{"set-inode-flags", [](const Arguments& a) { return set_inode_flags(a, 0); }},
    probe::Act{"set-inode-flags-high", [](const Arguments& a) { return set_inode_flags(a, above_32_bits); }},
};

// ---- C3: socket families
// ----------------------------------------------------------------------------------------------------

Outcome make_socket(int family, int type, int protocol) {
  const Fd made(socket(family, type | SOCK_CLOEXEC, protocol));
  return probe::from(made ? 0 : -1);
}

probe::Act socket_act(std::string_view name, int family, int type, int protocol) {
  return {name, [=](const Arguments&) { return make_socket(family, type, protocol); }};
}

const std::array sockets{
    socket_act("netlink-uevent", AF_NETLINK, SOCK_RAW, 15),
    socket_act("netlink-sock-diag", AF_NETLINK, SOCK_RAW, 4),
    socket_act("netlink-netfilter", AF_NETLINK, SOCK_RAW, 12),
    socket_act("netlink-audit", AF_NETLINK, SOCK_RAW, 9),
    socket_act("netlink-generic", AF_NETLINK, SOCK_RAW, 16),
    socket_act("packet", AF_PACKET, SOCK_RAW, 0),
    socket_act("packet-dgram", AF_PACKET, SOCK_DGRAM, 0),
    socket_act("inet-raw", AF_INET, SOCK_RAW, 255),
    socket_act("inet6-raw", AF_INET6, SOCK_RAW, 255),
    socket_act("inet-packet", AF_INET, SOCK_PACKET, 0),
    socket_act("alg", AF_ALG, SOCK_SEQPACKET, 0),
    socket_act("vsock", AF_VSOCK, SOCK_STREAM, 0),
    socket_act("bluetooth", AF_BLUETOOTH, SOCK_RAW, 1),
    socket_act("can", AF_CAN, SOCK_RAW, 1),
    socket_act("key", AF_KEY, SOCK_RAW, 2),
    socket_act("xdp", AF_XDP, SOCK_RAW, 0),
    socket_act("tipc", AF_TIPC, SOCK_STREAM, 0),
    socket_act("rds", AF_RDS, SOCK_SEQPACKET, 0),
    socket_act("qipcrtr", AF_QIPCRTR, SOCK_DGRAM, 0),
    socket_act("smc", AF_SMC, SOCK_STREAM, 0),
    socket_act("kcm", AF_KCM, SOCK_DGRAM, 0),
};

}  // namespace

int main(int argc, char** argv) {
  const auto unprivileged = acts_of(unprivileged_rows, nullptr);
  const auto mounts = acts_of(mount_rows, probe::own_mounts);
  const auto privileged = acts_of(privileged_rows, nullptr);
  const auto optional = acts_of(optional_rows, nullptr);
  const std::array groups{
      probe::Group{"reach", unprivileged},
      probe::Group{"reach-mounts", mounts},
      probe::Group{"reach-privileged", privileged},
      probe::Group{"reach-optional", optional},
      probe::Group{"kernel", kernel},
      probe::Group{"sockets", sockets},
  };
  return probe::run_main(groups, argc, argv);
}
