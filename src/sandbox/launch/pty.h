// The agent's own terminal, made in the sandbox's devpts (pts(4)). The caller's terminal is out of reach, so TIOCSTI is
// too.
#pragma once

#include <agentrun/sys/fd.h>
#include <sys/types.h>

namespace agentrun::sandbox {

struct Terminal {
  Fd master, slave;
};
/// Opens a pair through /dev/pts/ptmx of the view. Copies settings and size from the first of descriptors 0, 1, 2 that
/// is a terminal. Throws SysError.
Terminal open_terminal();

/// Makes the slave the controlling terminal of the calling session leader.
void take_terminal(const Fd& slave);
/// Makes `group` the foreground group. The caller is the session leader and blocks SIGTTOU.
void give_foreground(const Fd& slave, pid_t group);
/// Replaces each of descriptors 0, 1, 2 that is a terminal by the slave.
void replace_standard_terminals(const Fd& slave);

}  // namespace agentrun::sandbox
