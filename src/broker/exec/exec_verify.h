// What an image that shows itself must be, and what is judged of a program before it runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/broker_context.h"
#include "broker/calls/call.h"

namespace agentrun::broker {

/// 0: the task's image may run. Else the errno for its call `id`; ESRCH: it is gone, or became another while it was
/// looked at.
int verify_image(Receiver& rx, Task*& task, std::uint64_t id);
/// What a loader would start with these arguments, its own name included.
/// `program`, when it is given: what was judged, for open_launched().
policy::Verdict judge_launched(const Receiver& rx, const Task& task, const std::vector<std::string>& argv,
                               bool complete, LaunchedProgram* program);
/// Answers the call by which a loader opens the program that was judged; nothing for every other call.
std::optional<Reply> open_launched(Receiver& rx, Task& task, Call& c);
/// Opens a regular file to hash it; empty when it cannot be read.
Fd open_content(const Receiver& rx, const Object& object);
/// `verdict`, or the pin that the content of `path` does not keep.
policy::Verdict with_pins(const Receiver& rx, policy::Verdict verdict, const std::string& path,
                          const std::function<Fd()>& open);

}  // namespace agentrun::broker
