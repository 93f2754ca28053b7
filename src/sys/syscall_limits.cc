// Drops capabilities and enters Landlock, for services.
#include <agentrun/sys/syscall_limits.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <string>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>
#include <agentrun/sys/kernel_abi.h>
#include <agentrun/sys/process.h>

namespace agentrun {

namespace {

// Files that the C library and its name service modules read. /run: systemd-resolved, nscd, avahi.
constexpr const char* readable[] = {"/etc",
                                    "/usr",
                                    "/lib",
                                    "/lib64",
                                    "/lib32",
                                    "/run",
                                    "/var/run",
                                    "/var/lib/sss",
                                    "/nix/store",
                                    "/dev/null",
                                    "/dev/urandom",
                                    "/proc/sys",
                                    "/sys/devices/system/cpu"};
// A manager of these files may make them symbolic links to anywhere.
constexpr const char* linked[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf",
                                  "/etc/host.conf"};

constexpr std::uint64_t rights_of_abi(long abi) {
  std::uint64_t rights = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;  // the thirteen of ABI 1
  if (abi >= 2) rights |= abi::landlock_access_fs_refer;
  if (abi >= 3) rights |= abi::landlock_access_fs_truncate;
  if (abi >= 5) rights |= abi::landlock_access_fs_ioctl_dev;
  return rights;
}

void allow_reading(const Fd& ruleset, int object, const char* path) {
  landlock_path_beneath_attr rule{.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
                                  .parent_fd = object};
  if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) return;
  rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;  // not a directory
  check(::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0), "landlock_add_rule",
        path);
}
void allow_reading(const Fd& ruleset, const char* path) {
  const Fd object(::open(path, O_PATH | O_CLOEXEC));
  if (object) allow_reading(ruleset, object.get(), path);
}

// exec gives no capability, whatever the file has.
void bound_capabilities() {
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
      check(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl", "PR_CAPBSET_DROP");
  }
  constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  check(::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0), "prctl", "PR_SET_SECUREBITS");
}

struct Free {
  void operator()(char* text) const { ::free(text); }
};

}  // namespace

void shed_capabilities(std::optional<unsigned> permitted) {
  if (permitted) bound_capabilities();
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl", "PR_CAP_AMBIENT");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (permitted) data.at(*permitted / 32).permitted = 1U << *permitted % 32;
  check(::syscall(SYS_capset, &header, data.data()), "capset");
  check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE");
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG");  // a change of credentials clears it
}

void enter_landlock(std::initializer_list<int> directories) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return;  // no Landlock, or switched off: it is only a second line of defence here
  abi::LandlockRulesetAttr attributes{
      .handled_access_fs = rights_of_abi(version), .handled_access_net = 0, .scoped = 0};
  if (version >= 6) attributes.scoped = abi::landlock_scope_signal | abi::landlock_scope_abstract_unix_socket;
  const std::size_t size = version >= 6   ? sizeof attributes
                           : version >= 4 ? 2 * sizeof(std::uint64_t)
                                          : sizeof(std::uint64_t);
  const Fd ruleset(
      static_cast<int>(check(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0), "landlock_create_ruleset")));
  for (const char* path : readable) allow_reading(ruleset, path);
  for (const int directory : directories) allow_reading(ruleset, directory, "directory");
  for (const char* path : linked) {
    const std::unique_ptr<char, Free> real(::realpath(path, nullptr));
    if (real) allow_reading(ruleset, real.get());
  }
  check(::syscall(SYS_landlock_restrict_self, ruleset.get(), 0), "landlock_restrict_self");
}

void load_name_services() {
  std::istringstream lines(try_read_file("/etc/nsswitch.conf").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word;
    if (!(words >> word) || word != "hosts:") continue;
    while (words >> word) {
      const bool plain = std::ranges::all_of(
          word, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
      // Never closed: the C library later finds the module loaded.
      if (plain) ::dlopen(("libnss_" + word + ".so.2").c_str(), RTLD_NOW);
    }
  }
}

}  // namespace agentrun
