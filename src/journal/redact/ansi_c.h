// What stands between $' and ', as bash(1) reads it (QUOTING).
#pragma once

#include <string>
#include <string_view>

namespace agentrun::journal {

/// Bytes, with \u and \U as UTF-8. A NUL ends the text, as in bash.
std::string decode_ansi_c(std::string_view source);

}  // namespace agentrun::journal
