// Who the sandbox's processes are: id maps, capabilities, securebits, keyring, and what they inherit of the parent.
#pragma once

#include <agentrun/sys/fd.h>
#include <sys/types.h>

namespace agentrun::sandbox {

/// Parent: setgroups deny, gid_map and uid_map of the child, one line each: the caller's own ids, mapped to the same
/// numbers (user_namespaces(7)). The child must be dumpable: else its /proc files are root's.
void write_id_maps(pid_t child, uid_t uid, gid_t gid);

/// Child, first: dies with the parent, can be looked at by it, and has nothing of its command line and environment in
/// the memory that /proc/<pid>/cmdline and environ show.
void tie_to_parent();

/// A session keyring of our own (keyrings(7)); a kernel without keys has nothing to hide.
void join_new_keyring();

/// Bounding, inheritable and ambient sets empty, securebits locked, no capability left, no_new_privs (capabilities(7)).
void drop_privileges();

/// True when the process could regain or use any capability.
bool has_privileges();

}  // namespace agentrun::sandbox
