// Landlock (landlock(7)): the agent's own domain. It grants no changes: the broker performs them from outside.
#pragma once

#include <agentrun/sandbox.h>

#include <cstdint>

#include "sandbox/mounts/mounts.h"

namespace agentrun::sandbox {

/// The kernel's Landlock ABI, 1 or more. Throws SysError with ENOSYS or EOPNOTSUPP without Landlock.
int landlock_abi();

/// Every file right that an ABI knows. Landlock denies a handled right that no rule grants. Pure.
std::uint64_t handled_rights(int abi) noexcept;
/// The rights of one step on a directory or on a file. Pure.
enum class Object : std::uint8_t { directory, file };
std::uint64_t granted_rights(const LandlockStep& step, Object object, int abi) noexcept;

/// Enters the domain. Needs no_new_privs. Throws SysError.
void enter_landlock(const View& view, const Plan& plan);

}  // namespace agentrun::sandbox
