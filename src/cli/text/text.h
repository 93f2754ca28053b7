// What is printed for people: escaped, since names come from the agent (attacks.md T2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <agentrun/sys/utf8.h>

namespace agentrun::cli {

/// printable() (sys/utf8.h) for each line of a text of ours; the ends of lines stay.
std::string printable_lines(std::string_view text);

/// Valid JSON, as a record's line is, with every character that printable() escapes as \uNNNN; bytes that are not UTF-8
/// become U+FFFD. The value of valid UTF-8 stays the same, its bytes do not: not for
/// records that are hashed.
std::string printable_json(std::string_view json);

/// One line of JSON, all of it ASCII: what a terminal could take for an order, and bytes that are not UTF-8, are
/// \uNNNN.
std::string json_line(const nlohmann::json& value);

/// "2026-11-22T10:30:00.123Z" of nanoseconds since the epoch.
std::string time_text(std::int64_t nanoseconds);

}  // namespace agentrun::cli
