// One run, from the journal on.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

/// Carries out what was prepared, to its end and the journal's. What happens to the run stands in `summary`; throws
/// Refusal or SysError when it could not begin.
void carry_out(Prepared& prepared, const Options& options, Summary& summary, sandbox::RulesetLoader loader);

}  // namespace agentrun::supervisor
