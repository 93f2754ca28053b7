// record(): the only maker of permits.
#include "broker/calls/permit.h"

#include <cerrno>
#include <stdexcept>

namespace agentrun::broker {

void Permit::require(std::uint64_t id) const {
  if (id_ != id) throw std::logic_error("the permit is not this call's");
}

Recorded record(DecisionLog& log, Call& call, std::string_view effect) {
  const bool allowed = call.verdict.act == policy::Action::allow;
  if (!allowed) call.error = EACCES;
  call.effect = allowed ? effect : "errno";
  if (!log.decision(call)) return Recorded(EIO);
  return allowed ? Recorded(Permit(call.request.id)) : Recorded(EACCES);
}

}  // namespace agentrun::broker
