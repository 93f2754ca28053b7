// Decodes fields of mountinfo.
#pragma once

#include <string>
#include <string_view>

namespace agentrun {

/// Decodes the octal escapes of a path in proc_pid_mountinfo(5).
std::string unescape_mountinfo(std::string_view word);

}  // namespace agentrun
