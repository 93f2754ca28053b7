// The one table of system calls, and the BPF programs that are made of it. Pure.
// The table is the single source for the filter, the broker's decoder, the journal's classes, the tests and the manual.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace agentrun::filter {

/// What the filter does with a call.
enum class Disposition : std::uint8_t {
  allow,          // never trapped
  trap,           // to the broker
  trap_opens,     // open, openat: to the broker when the flags register asks to write or create; O_PATH alone is let
                  // through; reading opens are trapped unless Variant::reads_off
  trap_leases,    // fcntl: to the broker when it takes or returns a lease, else let through
  refuse_eperm,   // refused by the floor: EPERM
  refuse_enosys,  // refused by the floor: ENOSYS (programs fall back)
  checked,  // allowed except for some values of register arguments (clone flags, ioctl numbers, socket families, …)
};
std::string_view name(Disposition) noexcept;

/// What the broker does for a trapped call: one per family of aliases.
enum class Operation : std::uint8_t {
  none,
  open,  // open, creat, openat
  openat2,
  unlink,   // unlink, rmdir, unlinkat
  rename,   // rename, renameat, renameat2
  link,     // link, linkat
  symlink,  // symlink, symlinkat
  mkdir,    // mkdir, mkdirat
  mknod,    // mknod, mknodat
  chmod,    // chmod, fchmodat, fchmodat2
  chown,    // chown, lchown, fchownat
  truncate,
  utimes,       // utime, utimes, futimesat, utimensat
  setxattr,     // setxattr, lsetxattr, setxattrat
  removexattr,  // removexattr, lremovexattr, removexattrat
  fchmod,       // descriptor forms: the object is an open file
  fchown,
  fsetxattr,
  fremovexattr,
  lease,    // fcntl with F_SETLEASE
  execute,  // execve, execveat
  connect,
  bind,  // of a unix socket that gets a path
};
std::string_view name(Operation) noexcept;

/// The journal's class of a call.
enum class Class : std::uint8_t { none, open, change, exec, connect };
std::string_view name(Class) noexcept;

/// Which argument register (0–5) carries what; -1: the call has no such argument.
/// `dirfd` = -1 with a path means AT_FDCWD. `fd` is a descriptor that is itself the object. `path` and `path2` are in
/// the order of the call: for symlink and symlinkat `path` is the text and `path2` (with `dirfd2`) the name that is
/// made. `flags` is the call's flags register, whatever its flags mean: O_*, AT_*, RENAME_*, XATTR_*; openat2's are in
/// memory.
struct Arguments {
  std::int8_t dirfd = -1, path = -1, dirfd2 = -1, path2 = -1, flags = -1, mode = -1, fd = -1;
};

struct Row {
  std::string_view name;
  int nr;
  Disposition disposition = Disposition::allow;
  Operation operation = Operation::none;
  Class journal_class = Class::none;
  Arguments arguments = {};
};

/// Every x86-64 call that this version knows, sorted by number. Numbers that are not in it get ENOSYS.
std::span<const Row> table() noexcept;
/// Row of a number, or null.
const Row* find(int nr) noexcept;

enum class Variant : std::uint8_t {
  agent_reads_trapped,        // audit.reads: exact or claimed
  agent_reads_off,            // audit.reads: off
  agent_reads_trapped_memfd,  // the same with exec.memfd: allow
  agent_reads_off_memfd,
  agent_floor_only,  // weaken: [floor-only]: nothing is trapped; what the floor refuses is refused
  init,              // pid 1 of the sandbox: wait, forward signals, report; nothing else
  broker,            // the broker's own allow list
  egress,            // egress's own allow list
  sink,              // that of agent-run-sink
};

/// The program of a variant, exported by libseccomp when agent-run was built. Load it with
/// seccomp(SECCOMP_SET_MODE_FILTER). The agent's programs need SECCOMP_FILTER_FLAG_NEW_LISTENER, but for
/// agent_floor_only.
std::span<const sock_filter> program(Variant variant) noexcept;

/// Runs a program on one call as the kernel would and returns SECCOMP_RET_* | data. Throws std::invalid_argument for an
/// instruction that the kernel would refuse.
std::uint32_t evaluate(std::span<const sock_filter> program, const seccomp_data& call);

}  // namespace agentrun::filter
