// The wire form of Event between broker and supervisor, which is that of service events (sys/service_event.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <agentrun/broker.h>

namespace agentrun::broker {

std::string encode(const Event& event);
/// nullopt for anything that encode() does not make: the peer is then treated as dead.
std::optional<Event> decode_event(std::string_view bytes);
/// Sends without waiting. Losing one is no error (Event).
void report(const Fd& control, const Event& event) noexcept;

}  // namespace agentrun::broker
