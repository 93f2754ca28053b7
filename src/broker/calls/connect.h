// connect.
#pragma once

#include "broker/broker_context.h"
#include "broker/calls/permit.h"

namespace agentrun::broker {

Reply answer_connect(Receiver& rx, Call& c);

}  // namespace agentrun::broker
