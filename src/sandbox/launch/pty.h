// The agent's own terminal, made in the sandbox's devpts (pts(4)): the caller's one is out of reach, so TIOCSTI is too.
#pragma once

#include <agentrun/sys/fd.h>
#include <sys/types.h>

namespace agentrun::sandbox {

struct Terminal {
  Fd master, slave;
};
/// Opens a pair through /dev/pts/ptmx of the view. Settings and size are those of the first of descriptors 0, 1, 2 that
/// is a terminal. Throws SysError.
Terminal open_terminal();

/// Makes the slave the controlling terminal of the calling session leader.
void take_terminal(const Fd& slave);
/// Makes `group` the foreground group. From the session leader, which must block SIGTTOU.
void give_foreground(const Fd& slave, pid_t group);
/// Puts the slave where descriptors 0, 1, 2 are terminals now; the others stay as they are.
void replace_standard_terminals(const Fd& slave);

}  // namespace agentrun::sandbox
