// What is printed for people: escaped, since names come from the agent (ATTACKS T2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace agentrun::cli {

/// Printable UTF-8 stays; control characters, bidirectional controls and bytes that are not UTF-8 become \xNN.
std::string printable(std::string_view text);
/// The same for each line of a text of ours; the ends of lines stay.
std::string printable_lines(std::string_view text);

/// "2026-11-22T10:30:00.123Z" of nanoseconds since the epoch.
std::string time_text(std::int64_t nanoseconds);

}  // namespace agentrun::cli
