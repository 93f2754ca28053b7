// The credentials of the sandbox's processes: id maps, capabilities, securebits, keyring; and their tie to the parent.
#pragma once

#include <agentrun/sys/fd.h>
#include <sys/types.h>

namespace agentrun::sandbox {

/// In the parent: writes "deny" to setgroups, and one line each to gid_map and uid_map of the child. They map the
/// caller's ids to the same numbers (user_namespaces(7)). The child must be dumpable, otherwise root owns its /proc
/// files.
void write_id_maps(pid_t child, uid_t uid, gid_t gid);

/// In the child, first: makes it die with the parent and makes it dumpable for the parent. Erases the command line and
/// environment from the memory that /proc/<pid>/cmdline and environ show.
void tie_to_parent();

/// Joins a new session keyring (keyrings(7)). Does nothing when the kernel has no keyrings.
void join_new_keyring();

/// Empties all capability sets, the bounding and ambient sets too; locks securebits; sets no_new_privs
/// (capabilities(7)).
void drop_privileges();

/// True when the process could regain or use any capability.
bool has_privileges();

}  // namespace agentrun::sandbox
