// Kernel constants that Debian 12's headers (Linux 6.1) lack or that glibc hides. Each names the release that brought
// it.
#pragma once

#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cstdint>

namespace agentrun::abi {

// seccomp user notification -------------------------------------------------------------------------------------------
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
inline constexpr std::uint64_t seccomp_user_notif_fd_sync_wake_up = 1UL << 0;  // Linux 6.6
#else
inline constexpr std::uint64_t seccomp_user_notif_fd_sync_wake_up = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
#endif
#ifdef SECCOMP_IOCTL_NOTIF_SET_FLAGS
inline constexpr unsigned long seccomp_ioctl_notif_set_flags = SECCOMP_IOCTL_NOTIF_SET_FLAGS;
#else
inline constexpr unsigned long seccomp_ioctl_notif_set_flags = _IOW('!', 4, std::uint64_t);  // Linux 6.6
#endif

// system calls newer than the headers (x86-64 numbers, which new calls share with the generic table) ------------------
inline constexpr long sys_cachestat = 451;          // 6.5
inline constexpr long sys_fchmodat2 = 452;          // 6.6
inline constexpr long sys_map_shadow_stack = 453;   // 6.6
inline constexpr long sys_futex_wake = 454;         // 6.7
inline constexpr long sys_futex_wait = 455;         // 6.7
inline constexpr long sys_futex_requeue = 456;      // 6.7
inline constexpr long sys_statmount = 457;          // 6.8
inline constexpr long sys_listmount = 458;          // 6.8
inline constexpr long sys_lsm_get_self_attr = 459;  // 6.8
inline constexpr long sys_lsm_set_self_attr = 460;  // 6.8
inline constexpr long sys_lsm_list_modules = 461;   // 6.8
inline constexpr long sys_mseal = 462;              // 6.10
inline constexpr long sys_setxattrat = 463;         // 6.13
inline constexpr long sys_getxattrat = 464;         // 6.13
inline constexpr long sys_listxattrat = 465;        // 6.13
inline constexpr long sys_removexattrat = 466;      // 6.13
inline constexpr long sys_open_tree_attr = 467;     // 6.15
inline constexpr long sys_file_getattr = 468;       // 6.17
inline constexpr long sys_file_setattr = 469;       // 6.17

// memfd_create(2)
inline constexpr unsigned mfd_noexec_seal = 0x0008U;  // 6.3
inline constexpr unsigned mfd_exec = 0x0010U;         // 6.3

// Landlock: the ABI of each right is in landlock(7)
// ---------------------------------------------------------------------
inline constexpr std::uint64_t landlock_access_fs_refer = 1ULL << 13;            // ABI 2, 5.19
inline constexpr std::uint64_t landlock_access_fs_truncate = 1ULL << 14;         // ABI 3, 6.2
inline constexpr std::uint64_t landlock_access_fs_ioctl_dev = 1ULL << 15;        // ABI 5, 6.10
inline constexpr std::uint64_t landlock_scope_abstract_unix_socket = 1ULL << 0;  // ABI 6, 6.12
inline constexpr std::uint64_t landlock_scope_signal = 1ULL << 1;                // ABI 6, 6.12
/// struct landlock_ruleset_attr as of ABI 6; shorter sizes are valid for older kernels.
struct LandlockRulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};

}  // namespace agentrun::abi
