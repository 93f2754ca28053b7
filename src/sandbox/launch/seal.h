// The seal: tries acts that must fail. agent-run refuses to start when one works.
#pragma once

namespace agentrun::sandbox {

/// Called in the agent before it loads its filter, so it tests the kernel baseline without seccomp. Throws SysError
/// with ENOTRECOVERABLE and the name of the act that worked. The process must end then.
void try_the_seal();

}  // namespace agentrun::sandbox
