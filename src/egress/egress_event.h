// The wire form of Event between egress and supervisor: a kind byte, then NUL-terminated fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <agentrun/egress.h>

namespace agentrun::egress {

std::string encode(const Event& event);
/// nullopt for anything that encode() does not make: the peer is then treated as dead.
std::optional<Event> decode_event(std::string_view bytes);
/// Sends without waiting. Losing one is no error: the supervisor also sees the end of the process.
void post(const Fd& control, const Event& event) noexcept;

}  // namespace agentrun::egress
