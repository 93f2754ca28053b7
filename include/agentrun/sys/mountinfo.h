// The words of mountinfo.
#pragma once

#include <string>
#include <string_view>

namespace agentrun {

/// A path as proc_pid_mountinfo(5) writes it, with blanks and the like as octal numbers, in plain bytes.
std::string unescape_mountinfo(std::string_view word);

}  // namespace agentrun
