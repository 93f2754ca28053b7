// State that a process inherits from its parent: signal dispositions and mask, descriptors 0 to 2, limits, umask.
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <array>

namespace agentrun {

/// The state at the start of main. The command gets it, as it would outside of agent-run.
struct Inherited {
  std::array<bool, 65> ignored{};  // by signal number: SIG_IGN
  sigset_t mask{};
  std::array<rlimit, RLIM_NLIMITS> limits{};
  mode_t umask = 022;
};

/// Makes this process independent of its parent's state, and returns that state. Call it first in main, with one
/// thread. Afterwards: SIGCHLD is not ignored (else children could not be waited for), no signal is blocked,
/// descriptors 0 to 2 are open (/dev/null where they were closed), soft limits that would stop agent-run's own work are
/// raised as far as the hard ones let them, threads have a stack that does not depend on RLIMIT_STACK, and what this
/// process makes its owner can use. Throws SysError.
Inherited take_inherited();

/// Gives the calling process the dispositions and the mask of `inherited`. Throws SysError.
void hand_on_signals(const Inherited& inherited);

}  // namespace agentrun
