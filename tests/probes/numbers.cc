// C1: numbers of other architectures, numbers that nobody knows, and registers with bits that the kernel ignores and a
// filter must ignore too.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include <agentrun/sys/error.h>

#include "probe.h"

namespace {

using probe::address;
using probe::Arguments;
using probe::Outcome;

constexpr unsigned long x32_bit = 0x40000000UL;
constexpr unsigned long above_32_bits = 1UL << 32;

bool exists(const std::string& path) {
  struct stat unused {};
  return lstat(path.c_str(), &unused) == 0;
}

// ---- C1: numbers
// --------------------------------------------------------------------------------------------------------

long int80(unsigned number, unsigned a = 0, unsigned b = 0, unsigned c = 0) {
  long result = 0;
  asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
  const int narrow = static_cast<int>(result);
  if (narrow >= 0 || narrow < -4095) return narrow;
  errno = -narrow;
  return -1;
}

// A kernel without IA-32 emulation (a build option, ia32_emulation=0, or a firmware) has no such gate: the instruction
// itself faults, before any filter could be asked. A filter that kills does so by SIGSYS.
bool has_int80() {
  constexpr unsigned i386_getpid = 20;
  const int status = probe::in_child([] { return int80(i386_getpid) != 0 ? 0 : 1; });
  return !(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL));
}

Outcome no_int80() {
  return probe::not_on_this_machine("int $0x80 faults: no IA-32 emulation");
}

/// The 32-bit entry sees only pointers below 4 GiB.
unsigned low_copy(const std::string& text) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (page == MAP_FAILED) agentrun::throw_errno("mmap", "MAP_32BIT");
  std::memcpy(page, text.c_str(), text.size() + 1);
  return static_cast<unsigned>(address(page));
}

Outcome x32_getpid(const Arguments&) {
  return probe::from(probe::call(x32_bit | SYS_getpid));
}

Outcome x32_mkdir(const Arguments& a) {
  const std::string path = a.get("root") + "/x32";
  const long result = probe::call(x32_bit | SYS_mkdir, address(path.c_str()), 0700);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

Outcome int80_getpid(const Arguments&) {
  if (!has_int80()) return no_int80();
  constexpr unsigned i386_getpid = 20;
  return probe::from(int80(i386_getpid));
}

Outcome int80_mkdir(const Arguments& a) {
  if (!has_int80()) return no_int80();
  constexpr unsigned i386_mkdir = 39;
  const std::string path = a.get("root") + "/int80-mkdir";
  const long result = int80(i386_mkdir, low_copy(path), 0700);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

Outcome int80_open(const Arguments& a) {
  if (!has_int80()) return no_int80();
  constexpr unsigned i386_open = 5;
  const std::string path = a.get("root") + "/int80-open";
  const long result = int80(i386_open, low_copy(path), O_CREAT | O_WRONLY, 0600);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

Outcome high_number(const Arguments& a) {
  const std::string path = a.get("root") + "/high-number";
  const long result = probe::call(above_32_bits | SYS_mkdir, address(path.c_str()), 0700);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

Outcome high_open_flags(const Arguments& a) {
  const std::string path = a.get("root") + "/high-flags";
  const long result = probe::call(SYS_openat, static_cast<unsigned long>(AT_FDCWD), address(path.c_str()),
                                  above_32_bits | O_CREAT | O_WRONLY, 0600);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

/// O_PATH in a copy that the kernel does not see must not hide O_WRONLY in the one that it sees.
Outcome high_dirfd(const Arguments& a) {
  const std::string path = a.get("root") + "/high-dirfd";
  const long result = probe::call(SYS_openat, 0xffffffffUL & static_cast<unsigned long>(AT_FDCWD),
                                  address(path.c_str()), O_CREAT | O_WRONLY, 0600);
  return probe::effect(exists(path), result < 0 ? errno : 0);
}

Outcome high_clone_flags(const Arguments&) {
  const long child = probe::call(SYS_clone, above_32_bits | CLONE_NEWUSER | SIGCHLD);
  if (child == 0) _exit(0);
  if (child > 0) waitpid(static_cast<pid_t>(child), nullptr, 0);
  return probe::from(child);
}

Outcome high_family(const Arguments&) {
  return probe::from(probe::call(SYS_socket, above_32_bits | AF_NETLINK, SOCK_RAW, 15));
}

/// ok when one number of the range is neither unknown nor refused.
Outcome unknown_numbers(unsigned long first, unsigned long last) {
  Outcome outcome{.error = ENOSYS, .detail = {}};
  for (unsigned long number = first; number <= last; ++number) {
    const long result = probe::raw_call(number);
    if (result == -EPERM) outcome.error = EPERM;
    if (result != -ENOSYS && result != -EPERM) return {.error = 0, .detail = "number " + std::to_string(number)};
  }
  return outcome;
}

const std::array numbers{
    probe::Act{"x32-getpid", x32_getpid},
    probe::Act{"x32-mkdir", x32_mkdir},
    probe::Act{"int80-getpid", int80_getpid},
    probe::Act{"int80-mkdir", int80_mkdir},
    probe::Act{"int80-open", int80_open},
    probe::Act{"high-number", high_number},
    probe::Act{"high-open-flags", high_open_flags},
    probe::Act{"high-dirfd", high_dirfd},
    probe::Act{"high-clone-flags", high_clone_flags},
    probe::Act{"high-family", high_family},
};
const std::array unknown{
    probe::Act{"unknown-gap", [](const Arguments&) { return unknown_numbers(387, 423); }},
    probe::Act{"unknown-future", [](const Arguments&) { return unknown_numbers(480, 1200); }},
    probe::Act{"unknown-largest", [](const Arguments&) { return unknown_numbers(0x3ffffff0UL, 0x3fffffffUL); }},
    probe::Act{"unknown-negative", [](const Arguments&) { return unknown_numbers(0xfffffff0UL, 0xfffffffeUL); }},
};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{probe::Group{"numbers", numbers}, probe::Group{"unknown", unknown}};
  return probe::run_main(groups, argc, argv);
}
