// chmod, chown, truncate, utimes, xattrs and their descriptor forms.
#pragma once

#include "broker/broker_context.h"
#include "broker/calls/permit.h"

namespace agentrun::broker {

Reply answer_attribute(Receiver& rx, Call& c);
/// All but truncate. 0 or an errno.
int perform_attribute(const Permit& permit, const Receiver& rx, const Request& request, const Object& object);
Reply perform_truncate(const Permit& permit, Receiver& rx, Call& c, Object& object);

/// `mode` without set-id bits: a program with them would act for whoever of the host starts it. Who may change the
/// whole host (weaken: [host-root]) keeps them.
[[nodiscard]] mode_t mode_for_file(const Receiver& rx, mode_t mode);

}  // namespace agentrun::broker
