// Decodes the text between $' and ' as bash(1) does (QUOTING).
#pragma once

#include <string>
#include <string_view>

namespace agentrun::journal {

/// Returns bytes; \u and \U become UTF-8. A NUL ends the text, as in bash.
std::string decode_ansi_c(std::string_view source);

}  // namespace agentrun::journal
