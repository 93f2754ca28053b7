// record(): the only maker of permits.
#include "broker/calls/permit.h"

#include <cerrno>

namespace agentrun::broker {

Recorded record(DecisionLog& log, Call& call, std::string_view effect) {
  const bool allowed = call.verdict.act == policy::Act::allow;
  if (!allowed) call.error = EACCES;
  call.effect = allowed ? effect : "errno";
  if (!log.decision(call)) return Recorded(EIO);
  return allowed ? Recorded(Permit(call.request.id)) : Recorded(EACCES);
}

}  // namespace agentrun::broker
