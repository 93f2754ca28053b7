// The one place where cli writes formatted text.
#include "cli/text/print.h"

#include <fmt/format.h>

namespace agentrun::cli {

void write_text(std::FILE* file, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
}

void write_formatted(std::FILE* file, fmt::string_view format, fmt::format_args arguments) {
  fmt::memory_buffer buffer;
  fmt::vformat_to(fmt::appender(buffer), format, arguments);
  write_text(file, {buffer.data(), buffer.size()});
}

}  // namespace agentrun::cli
