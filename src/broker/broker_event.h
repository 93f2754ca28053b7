// The wire form of Event, between broker and supervisor: that of service events (sys/service_event.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <agentrun/broker.h>

namespace agentrun::broker {

std::string encode(const Event& event);
/// Returns nullopt for anything that encode() cannot have made. The caller then treats the peer as dead.
std::optional<Event> decode_event(std::string_view bytes);
/// Sends without waiting. A lost event is no error.
void report(const Fd& control, const Event& event) noexcept;

}  // namespace agentrun::broker
