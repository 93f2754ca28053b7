// The agent's programs: calls whose answer depends on register values.
#include <asm/unistd_64.h>
#include <doctest/doctest.h>
#include <fcntl.h>

#include <bit>
#include <cerrno>
#include <set>
#include <string_view>

#include "seccomp_call.h"

using namespace agentrun::filter;
using namespace agentrun::filter::test;

namespace {

constexpr std::uint32_t upper_halves[] = {0, 1, 0x80000000U, 0xffffffffU};

/// Both agent programs, under several upper halves, give this answer.
void expect(std::uint32_t wanted, int nr, const Args& args) {
  for (const Variant variant : agent_variants)
    for (const std::uint32_t upper : upper_halves) {
      CAPTURE(nr);
      CAPTURE(args[0]);
      CAPTURE(args[1]);
      CAPTURE(args[2]);
      CHECK(answer(variant, nr, with_upper(args, upper)) == wanted);
    }
}

/// open(2) in words: does the call ask to write or to create?
bool writes(std::uint32_t flags) {
  const std::uint32_t access = flags & 03;  // 0 reads; 1 writes; 2 does both; 3 is the old "neither, but check both"
  const bool creates = (flags & 0100) != 0;
  const bool cuts = (flags & 01000) != 0;
  const bool nameless = (flags & 020000000) != 0;
  return access != 0 || creates || cuts || nameless;
}

constexpr std::uint32_t path_only = 010000000;

std::uint32_t expected_open(Variant variant, std::uint32_t flags) {
  if ((flags & path_only) != 0) return allowed;
  return variant == Variant::agent_reads_trapped || writes(flags) ? trapped : allowed;
}

/// The bits of open's flags that the kernel knows; O_CLOEXEC, which decides nothing, first.
constexpr int flag_bits[] = {19, 0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22};

std::uint32_t flags_from(std::uint32_t number) {
  std::uint32_t flags = 0;
  for (std::size_t i = 0; i < std::size(flag_bits); ++i)
    if ((number >> i & 1U) != 0) flags |= 1U << flag_bits[i];
  return flags;
}

}  // namespace

TEST_CASE("open and openat: every combination of the known flags") {
  static_assert(O_PATH == path_only && O_TMPFILE == (020000000 | O_DIRECTORY) && O_CREAT == 0100 && O_TRUNC == 01000);
  std::size_t wrong = 0;
  for (std::uint32_t number = 0; number < 1U << std::size(flag_bits); ++number) {
    const std::uint32_t flags = flags_from(number);
    // Taking turns keeps the test short; the deciding flags meet both calls in both programs below.
    const Variant variant = number % 2 == 0 ? Variant::agent_reads_off : Variant::agent_reads_trapped;
    const std::uint32_t got = std::popcount(number >> 1) % 2 == 0
                                  ? answer(variant, __NR_open, {0, flags, 0666, 0, 0, 0})
                                  : answer(variant, __NR_openat, {0, 0, flags, 0666, 0, 0});
    if (got != expected_open(variant, flags)) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("open and openat: the deciding flags in all combinations, in both calls, under any upper half") {
  for (std::uint32_t number = 0; number < 1U << 8; ++number) {
    constexpr std::uint32_t deciding[] = {1, 2, 0100, 01000, 020000000, 010000000, 0200000, 02000000};
    std::uint32_t flags = 0;
    for (std::size_t i = 0; i < std::size(deciding); ++i)
      if ((number >> i & 1U) != 0) flags |= deciding[i];
    for (const Variant variant : agent_variants)
      for (const std::uint32_t upper : upper_halves) {
        CAPTURE(flags);
        CHECK(answer(variant, __NR_open, with_upper({0, flags}, upper)) == expected_open(variant, flags));
        CHECK(answer(variant, __NR_openat, with_upper({0, 0, flags}, upper)) == expected_open(variant, flags));
      }
  }
}

TEST_CASE("open and openat: unknown flags decide nothing") {
  for (const std::uint32_t unknown : {04U, 010U, 020U, 040U, 0x00800000U, 0x01000000U, 0x40000000U, 0x80000000U}) {
    CHECK(answer(Variant::agent_reads_trapped, __NR_openat, {0, 0, unknown}) == trapped);
    CHECK(answer(Variant::agent_reads_off, __NR_openat, {0, 0, unknown}) == allowed);
    CHECK(answer(Variant::agent_reads_off, __NR_openat, {0, 0, unknown | O_WRONLY}) == trapped);
  }
}

TEST_CASE("only the flags register decides: the others of open and openat do not") {
  constexpr std::uint64_t noise = O_PATH | O_CREAT | O_RDWR;
  CHECK(answer(Variant::agent_reads_off, __NR_open, {noise, O_RDONLY, noise, noise, noise, noise}) == allowed);
  CHECK(answer(Variant::agent_reads_off, __NR_openat, {noise, noise, O_RDONLY, noise, noise, noise}) == allowed);
  CHECK(answer(Variant::agent_reads_trapped, __NR_open, {noise, O_RDONLY, noise, noise, noise, noise}) == trapped);
  CHECK(answer(Variant::agent_reads_trapped, __NR_openat, {noise, noise, O_RDONLY, noise, noise, noise}) == trapped);
}

TEST_CASE("creat and openat2 always go to the broker") {
  for (const std::uint64_t flags : {std::uint64_t{0}, std::uint64_t{O_PATH}, ~std::uint64_t{0}}) {
    expect(trapped, __NR_creat, {0, flags, flags});
    expect(trapped, __NR_openat2, {0, 0, flags, flags});
  }
}

TEST_CASE("clone: every combination of the namespace flags is refused, threads and processes are not") {
  constexpr std::uint32_t spaces[] = {0x00020000, 0x02000000, 0x04000000, 0x08000000,
                                      0x10000000, 0x20000000, 0x40000000};
  constexpr std::uint32_t thread = 0x3d0f00;  // what pthread_create asks for
  for (const std::uint32_t other : {0U, 17U, thread, 0x4111U, 0x80000000U})
    for (std::uint32_t number = 0; number < 1U << std::size(spaces); ++number) {
      std::uint32_t flags = other;
      for (std::size_t i = 0; i < std::size(spaces); ++i)
        if ((number >> i & 1U) != 0) flags |= spaces[i];
      expect(number == 0 ? allowed : refused(EPERM), __NR_clone, {flags, 0x7000});
    }
  expect(allowed, __NR_clone, {0x80 | 17});  // CLONE_NEWTIME's bit: part of the signal number here
  expect(allowed, __NR_clone, {0xffffffffU & ~0x7e020000U});
}

TEST_CASE("unshare: no new namespaces; state shared between threads may be unshared") {
  for (const std::uint32_t space :
       {0x80U, 0x20000U, 0x02000000U, 0x04000000U, 0x08000000U, 0x10000000U, 0x20000000U, 0x40000000U}) {
    expect(refused(EPERM), __NR_unshare, {space});
    expect(refused(EPERM), __NR_unshare, {space | 0x400});
  }
  for (const std::uint32_t shared : {0U, 0x200U, 0x400U, 0x40000U, 0x40600U}) expect(allowed, __NR_unshare, {shared});
}

TEST_CASE("ioctl: commands that change files by a read-only descriptor, or type into a terminal, are refused") {
  const std::initializer_list<std::uint32_t> commands = {
      0x5412,                              // TIOCSTI
      0x541c,                              // TIOCLINUX
      0x5423,                              // TIOCSETD
      0x40086602, 0x40046602,              // FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS
      0x40087602, 0x40047602,              // FS_IOC_SETVERSION, FS_IOC32_SETVERSION
      0x401c5820,                          // FS_IOC_FSSETXATTR
      0x800c6613,                          // FS_IOC_SET_ENCRYPTION_POLICY
      0x40806685,                          // FS_IOC_ENABLE_VERITY
      0x40047211,                          // FAT_IOCTL_SET_ATTRIBUTES
      0x50009401, 0x5000940e, 0x5000940f,  // BTRFS_IOC_SNAP_CREATE, SUBVOL_CREATE, SNAP_DESTROY
      0x50009417, 0x50009418, 0x5000943f,  // the same, second version
      0x4008941a, 0xc0c89425,              // BTRFS_IOC_SUBVOL_SETFLAGS, SET_RECEIVED_SUBVOL
      0x4004f50d,                          // F2FS_IOC_SET_PIN_FILE
  };
  for (const std::uint32_t command : commands) expect(refused(EPERM), __NR_ioctl, {3, command, 0x7ffe1000});
}

TEST_CASE("ioctl: commands that programs need are allowed") {
  const std::initializer_list<std::uint32_t> commands = {
      0x5401,     0x5402,     0x5403,     0x5404, 0x540b,  // TCGETS, TCSETS, TCSETSW, TCSETSF, TCFLSH
      0x540e,     0x540f,     0x5410,     0x5413, 0x5414,  // TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCGWINSZ, TIOCSWINSZ
      0x5411,     0x541b,     0x541d,     0x5420, 0x5421,  // TIOCOUTQ, FIONREAD, TIOCCONS, TIOCPKT, FIONBIO
      0x5422,     0x5424,     0x5429,     0x5450, 0x5451,  // TIOCNOTTY, TIOCGETD, TIOCGSID, FIONCLEX, FIOCLEX
      0x80045430, 0x40045431, 0x5441,                      // TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER
      0x80086601, 0x80046601, 0x80087601,                  // FS_IOC_GETFLAGS (both), FS_IOC_GETVERSION
      0x801c581f, 0xc020660b,                              // FS_IOC_FSGETXATTR, FS_IOC_FIEMAP
      0x40049409, 0x4020940d, 0xc0189436,                  // FICLONE, FICLONERANGE, FIDEDUPERANGE
      0x80047210, 0x8912,     0x8913,     0x8927,  // FAT_IOCTL_GET_ATTRIBUTES, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFHWADDR
      0x0000b701, 0xb703,     0,                   // NS_GET_USERNS, NS_GET_NSTYPE
  };
  for (const std::uint32_t command : commands) expect(allowed, __NR_ioctl, {3, command, 0x7ffe1000});
}

TEST_CASE("ioctl: all directions, types and numbers against the list of refused commands") {
  constexpr std::uint32_t only_in = 1;  // the kernel only reads the argument
  constexpr std::uint32_t only_out = 2;
  constexpr std::uint32_t both = 3;
  const auto refuses = [](std::uint32_t direction, std::uint32_t size, std::uint32_t type, std::uint32_t number) {
    switch (type) {
      case 'T':
        return number == 0x12 || number == 0x1c || number == 0x23;
      case 'f':
        return direction == only_in || (direction == only_out && number == 19) ||
               (direction == both && number >= 23 &&
                number <= 25);  // FS_IOC_ADD_ENCRYPTION_KEY, REMOVE, REMOVE of all users
      case 'v':
      case 0xf5:
        return direction == only_in;
      case 'X':
        return direction == only_in && number == 32;
      case 'r':
        return direction == only_in && number == 0x11;
      case 0x94:
        return (direction == only_in && ((size & 4096) != 0 || number == 26)) || (direction == both && number == 37);
      default:
        return false;
    }
  };
  std::size_t wrong = 0;
  for (std::uint32_t direction = 0; direction <= both; ++direction)
    for (std::uint32_t low = 0; low <= 0xffff; ++low)
      for (const std::uint32_t size : {4U, 4100U}) {
        if (size > 4 && (low >> 8) != 0x94) continue;  // only btrfs's numbers are told apart by their size
        const std::uint32_t got = answer(Variant::agent_reads_off, __NR_ioctl, {3, direction << 30 | size << 16 | low});
        if (got != (refuses(direction, size, low >> 8, low & 0xff) ? refused(EPERM) : allowed)) ++wrong;
      }
  CHECK(wrong == 0);
}

TEST_CASE("socket and socketpair: families, types and protocols") {
  constexpr std::uint64_t nonblock_cloexec = 04000 | 02000000;
  for (const int nr : {__NR_socket, __NR_socketpair}) {
    for (std::uint64_t family = 0; family < 64; ++family) {
      const bool known = family == 1 || family == 2 || family == 10 || family == 16;
      if (!known) expect(refused(EAFNOSUPPORT), nr, {family, 1, 0});
    }
    for (const std::uint64_t family : {0x101U, 0x10002U, 0x80000001U, 0xffffffffU})
      expect(refused(EAFNOSUPPORT), nr, {family, 1, 0});
    for (const std::uint64_t family : {2U, 10U})
      for (const std::uint64_t extra : {std::uint64_t{0}, nonblock_cloexec}) {
        expect(allowed, nr, {family, 1 | extra, 6});
        expect(allowed, nr, {family, 2 | extra, 17});
        // No other type and no other protocol has a module of the host loaded.
        const std::uint64_t icmp = family == 2 ? 1 : 58;
        for (const std::uint64_t type : {1U, 2U})
          for (std::uint64_t protocol = 0; protocol < 512; ++protocol) {
            const bool known = protocol == 0 || protocol == 6 || protocol == 17 || protocol == 262 || protocol == icmp;
            expect(known ? allowed : refused(EPROTONOSUPPORT), nr, {family, type | extra, protocol});
          }
        for (const std::uint64_t type : {4U, 5U, 6U})
          for (const std::uint64_t protocol : {0U, 6U, 33U, 132U})
            expect(refused(ESOCKTNOSUPPORT), nr, {family, type | extra, protocol});
        expect(allowed, nr, {family | 0xabc00000000U, 1 | extra, 0x500000000U | 6});  // the kernel takes ints
        expect(refused(EPROTONOSUPPORT), nr, {family, 1 | extra, 0x80000006U});
        expect(refused(EPERM), nr, {family, 3 | extra, 255});
        expect(refused(EPERM), nr, {family, 10 | extra, 0x300});
      }
    for (const std::uint64_t type : {1U, 2U, 3U, 5U}) expect(allowed, nr, {1, type | nonblock_cloexec, 0});
    expect(allowed, nr, {16, 3 | nonblock_cloexec, 0});
    expect(allowed, nr, {16, 2, 0});
    for (std::uint64_t protocol = 1; protocol < 40; ++protocol) expect(refused(EAFNOSUPPORT), nr, {16, 3, protocol});
    expect(refused(EAFNOSUPPORT), nr, {16, 3, 0x80000000U});
  }
}

TEST_CASE("personality: only values that weaken no protection") {
  for (const std::uint64_t value : {0x0U, 0x0040000U, 0xffffffffU}) expect(allowed, __NR_personality, {value});
  for (int bit = 0; bit < 32; ++bit) {
    const std::uint64_t value = std::uint64_t{1} << bit;
    if (value != 0x0040000) expect(refused(EPERM), __NR_personality, {value});
    expect(refused(EPERM), __NR_personality, {0xffffffffU ^ value});
    if (value != 0x0040000) expect(refused(EPERM), __NR_personality, {0x0040000U | value});
  }
}

TEST_CASE("fcntl: only commands that take or return a lease or a delegation are trapped, whatever their argument") {
  for (std::uint64_t command = 0; command < 4096; ++command) {
    const bool leases = command == 1024 || command == 1040;  // F_SETLEASE, F_SETDELEG
    for (const std::uint64_t lease : {0U, 1U, 2U, 0xffffffffU})
      expect(leases ? trapped : allowed, __NR_fcntl, {3, command, lease});
  }
  for (int bit = 11; bit < 32; ++bit) expect(allowed, __NR_fcntl, {3, 1024 | std::uint64_t{1} << bit, 0});
  CHECK(answer(Variant::agent_floor_only, __NR_fcntl, {3, 1024, 0}) == allowed);
}

TEST_CASE("prctl: everything except PR_SET_MM") {
  for (std::uint64_t option = 0; option < 128; ++option) {
    const bool set_mm = option == 35;  // PR_SET_MM
    for (const std::uint64_t part : {0U, 9U, 14U, 15U})
      expect(set_mm ? refused(EPERM) : allowed, __NR_prctl, {option, part});
    expect(set_mm ? refused(EPERM) : allowed, __NR_prctl, {0x100000000U | option, 14});  // the kernel takes an int
  }
}

TEST_CASE("seccomp: the agent's own filters, but no listener") {
  for (const std::uint64_t operation : {0U, 1U, 2U, 3U}) {
    expect(allowed, __NR_seccomp, {operation, 0});
    for (std::uint64_t flags = 0; flags < 64; ++flags)
      expect((flags & 8) != 0 ? refused(EPERM) : allowed, __NR_seccomp, {operation, flags});
  }
}

TEST_CASE("memfd_create: executable memory files where the profile allows them") {
  for (const auto& [variant, plain] : {std::pair{Variant::agent_reads_trapped_memfd, Variant::agent_reads_trapped},
                                       {Variant::agent_reads_off_memfd, Variant::agent_reads_off}}) {
    for (std::uint64_t flags = 0; flags < 0x40; ++flags)
      CHECK(answer(variant, __NR_memfd_create, {0x1000, flags}) == allowed);
    for (const Row& one : table()) {
      if (one.nr == __NR_memfd_create) continue;
      for (const std::uint64_t value : {0ULL, 1ULL, 0x10ULL, 0x240ULL, 0xffffffffULL})
        CHECK(answer(variant, one.nr, {value, value, value}) == answer(plain, one.nr, {value, value, value}));
    }
  }
}

TEST_CASE("memfd_create: no executable memory files by request") {
  // Without MFD_EXEC it is the kernel's to judge. With it: EINVAL for what the kernel gives EINVAL for, and for every
  // bit that may come, or EACCES.
  for (std::uint64_t flags = 0; flags < 32; ++flags) {
    const bool exec = (flags & 0x10) != 0, sealed = (flags & 8) != 0, huge = (flags & 4) != 0;
    expect(!exec ? allowed : sealed ? refused(EINVAL) : refused(EACCES), __NR_memfd_create, {0x1000, flags});
    for (std::uint64_t bit = 0x20; bit <= 0x80000000U; bit <<= 1) {
      const bool size = bit >= 0x04000000U;
      expect(!exec                      ? allowed
             : sealed || !size || !huge ? refused(EINVAL)
                                        : refused(EACCES),
             __NR_memfd_create, {0x1000, flags | bit});
    }
  }
  expect(allowed, __NR_memfd_create, {0x10, 0x1});
  expect(refused(EINVAL), __NR_memfd_create, {0, 0xffffffffU});  // as Chromium asks
}

TEST_CASE("TCP Fast Open: no connection without connect") {
  constexpr std::uint64_t fast_open = 0x2000'0000,
                          other_flags = 0x4000 | 0x40 | 1;  // MSG_NOSIGNAL, MSG_DONTWAIT, MSG_OOB
  for (const std::uint64_t flags :
       {std::uint64_t{0}, other_flags, fast_open, fast_open | other_flags, fast_open | 0xffff'ffff'0000'0000U}) {
    const auto wanted = (flags & fast_open) != 0 ? refused(EOPNOTSUPP) : allowed;
    expect(wanted, __NR_sendto, {3, 0x1000, 10, flags, 0x2000, 16});
    expect(wanted, __NR_sendmsg, {3, 0x1000, flags});
    expect(wanted, __NR_sendmmsg, {3, 0x1000, 2, flags});
  }
  expect(refused(EOPNOTSUPP), __NR_setsockopt, {3, 6, 30, 0x1000, 4});
  expect(allowed, __NR_setsockopt, {3, 6, 23, 0x1000, 4});  // TCP_FASTOPEN, of one who listens
  expect(allowed, __NR_setsockopt, {3, 1, 30, 0x1000, 4});
  expect(allowed, __NR_setsockopt, {3, 6, 1, 0x1000, 4});
}

TEST_CASE("every checked row is tested here, with an allowed value and a refused one") {
  const std::set<std::string_view> tested = {"clone",       "unshare",  "ioctl",        "socket", "socketpair",
                                             "personality", "seccomp",  "memfd_create", "prctl",  "sendto",
                                             "sendmsg",     "sendmmsg", "setsockopt"};
  std::set<std::string_view> checked;
  for (const Row& row : table())
    if (row.disposition == Disposition::checked) checked.insert(row.name);
  CHECK(checked == tested);
}
