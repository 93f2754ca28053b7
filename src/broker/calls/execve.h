// execve and execveat.
#pragma once

#include <string>

#include "broker/broker_context.h"
#include "broker/calls/permit.h"

namespace agentrun::broker {

Reply answer_execute(Receiver& rx, Call& c);
/// Lets the kernel run the program, once the claim to run it is noted.
Reply perform_execute(const Permit& permit, Receiver& rx, Call& c, const std::string& program);

}  // namespace agentrun::broker
