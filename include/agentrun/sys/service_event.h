// What a service (the broker, egress) reports to the supervisor over its control channel: one type, one wire form.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <agentrun/sys/fd.h>
#include <agentrun/sys/service.h>

namespace agentrun {

/// One message each; losing a `denial` costs only a line of the summary.
struct ServiceEvent {
  enum class Kind : std::uint8_t {
    ready,         // confined and serving
    failed,        // could not start: `text` says why, `remedy` what helps
    denial,        // `text`: what was denied, `remedy`: what would allow it; the first few distinct ones only
    trace,         // at the end: `text`: a path, `remedy`: the name of a broker::Trace; a bounded number
    journal_fail,  // a record could not be written: `text` is the errno's name. The run must end
    moved,         // it appends to the segment that it was given (journal::segment_message)
    kill,          // a denied image runs: `text` is its path. The run must end
    notice,        // `text`: something that the user should know
    counts,        // the final report, after "finish": `counts`
  } kind{};
  std::string text, remedy;                  // at most max_text bytes, without NUL
  std::array<std::uint64_t, 6> counts = {};  // of `counts`: the service's header says what they are; else 0

  static constexpr std::uint16_t max_text = 8192;
};

/// Texts are cut at max_text bytes and at the first NUL.
std::string encode(const ServiceEvent& event);
/// nullopt for what encode() does not make, and for a kind that is not in `kinds`: the service counts as dead then.
std::optional<ServiceEvent> decode_event(std::string_view bytes, std::span<const ServiceEvent::Kind> kinds);
/// Sends without waiting. Losing one is no error: the supervisor also sees the end of the process.
void post(const Fd& control, const ServiceEvent& event) noexcept;
/// The service's next event; nullopt when it is gone or sends something else.
std::optional<ServiceEvent> next_event(const Service& service, std::span<const ServiceEvent::Kind> kinds);

}  // namespace agentrun
