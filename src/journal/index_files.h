// What the writer (index.cc) and the readers (index_read.cc) of the journal of journals share.
#pragma once

#include <agentrun/journal/index.h>
#include <agentrun/sys/process.h>

#include <string>
#include <string_view>

namespace agentrun::journal::index {

inline constexpr const char* name = "index";
inline constexpr const char* state = "state";

inline void times(Record& record) {
  record.word("t", static_cast<std::uint64_t>(wall_clock_ns())).word("tb", static_cast<std::uint64_t>(boot_clock_ns()));
}

/// "ORIGIN SIZE base64(ROOT)"
std::optional<Before> parse_words(std::string_view words);
/// The head that a run.close or journal.recovered names.
std::optional<Before> head_of(std::string_view line);

/// What a broken-off journal holds. Its checkpoint is read, not verified.
struct Remains {
  std::uint64_t records = 0, signed_records = 0, torn_bytes = 0;
  Hash root{};
};
Remains examine(const std::filesystem::path& run_directory);

}  // namespace agentrun::journal::index
