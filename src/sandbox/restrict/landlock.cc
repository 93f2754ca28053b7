// Turns the plan's Landlock steps into a ruleset for the kernel's ABI, and enters it.
#include "sandbox/restrict/landlock.h"

#include <agentrun/sys/error.h>
#include <agentrun/sys/kernel_abi.h>
#include <agentrun/sys/paths.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace agentrun::sandbox {

namespace {

struct Since {
  int abi;
  std::uint64_t rights;
};
constexpr Since rights_since[] = {
    {1, LANDLOCK_ACCESS_FS_MAKE_SYM | (LANDLOCK_ACCESS_FS_MAKE_SYM - 1)},  // bits 0 to 12
    {2, abi::landlock_access_fs_refer},
    {3, abi::landlock_access_fs_truncate},
    {5, abi::landlock_access_fs_ioctl_dev},
};
constexpr int abi_of_scopes = 6;

// The only rights that the kernel accepts in a rule for a file.
constexpr std::uint64_t file_rights = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                      LANDLOCK_ACCESS_FS_READ_FILE | abi::landlock_access_fs_truncate |
                                      abi::landlock_access_fs_ioctl_dev;

}  // namespace

int landlock_abi() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return static_cast<int>(check(version, "landlock_create_ruleset", "version"));
}

std::uint64_t handled_rights(int abi) noexcept {
  std::uint64_t rights = 0;
  for (const Since& row : rights_since)
    if (abi >= row.abi) rights |= row.rights;
  return rights;
}

std::uint64_t granted_rights(const LandlockStep& step, Object object, int abi) noexcept {
  std::uint64_t rights = 0;
  if (step.read) rights |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  if (step.read && within(step.path, "/dev")) rights |= abi::landlock_access_fs_ioctl_dev;
  // The sandbox's terminals: a session leader gets a controlling terminal only by opening it itself, so the broker
  // cannot do it.
  if (step.read && step.path == "/dev/pts") rights |= LANDLOCK_ACCESS_FS_WRITE_FILE;
  if (step.execute) rights |= LANDLOCK_ACCESS_FS_EXECUTE;
  if (step.change) rights |= ~static_cast<std::uint64_t>(LANDLOCK_ACCESS_FS_EXECUTE);
  if (object == Object::file) rights &= file_rights;
  return rights & handled_rights(abi);
}

void enter_landlock(const View& view, const Plan& plan) {
  const int version = landlock_abi();
  const abi::LandlockRulesetAttr attr{
      .handled_access_fs = handled_rights(version),
      .handled_access_net = 0,
      .scoped = version >= abi_of_scopes ? abi::landlock_scope_abstract_unix_socket | abi::landlock_scope_signal : 0};
  const Fd ruleset(static_cast<int>(
      check(::syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0), "landlock_create_ruleset", "rights")));
  for (const LandlockStep& step : plan.landlock) {
    const Fd place = view.open(step.path, O_PATH);
    struct stat st {};
    check(::fstat(place.get(), &st), "fstat", step.path);
    const Object object = S_ISDIR(st.st_mode) ? Object::directory : Object::file;
    const landlock_path_beneath_attr rule{.allowed_access = granted_rights(step, object, version),
                                          .parent_fd = place.get()};
    if (rule.allowed_access == 0) continue;
    check(::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0), "landlock_add_rule",
          step.path);
  }
  check(::syscall(SYS_landlock_restrict_self, ruleset.get(), 0), "landlock_restrict_self");
}

}  // namespace agentrun::sandbox
