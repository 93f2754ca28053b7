// The seal: what must fail is tried, and agent-run refuses to start when any of it works.
#pragma once

namespace agentrun::sandbox {

/// In the agent before its filter: so what is tested is the floor without seccomp. Throws SysError with ENOTRECOVERABLE
/// and the name of the act that worked. The process is good for nothing then.
void try_the_seal();

}  // namespace agentrun::sandbox
