// What went wrong in a child before exec, as it crosses the process boundary: stage, call, object, errno. The parent
// adds the remedy, because it can still look at the host.
#pragma once

#include <string>
#include <string_view>

namespace agentrun::sandbox {

struct Failure {
  std::string stage, call, object;
  int error = 0;
  friend bool operator==(const Failure&, const Failure&) = default;
};

/// A whole message of launch_wire.h, with Tag::failure. Fields are cut at 8,192 bytes.
std::string encode(const Failure& failure);
/// The inverse. What encode() does not make gives {"launch", "decode", "", EPROTO}: it is still a failure.
Failure decode_failure(std::string_view bytes);

/// What of the host decides between causes that share an errno.
struct HostKnobs {
  bool userns_switched_off = false;   // Debian's kernel.unprivileged_userns_clone or user.max_user_namespaces is 0
  bool apparmor_restricts = false;    // kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu 24.04)
  bool no_ptrace = false;             // kernel.yama.ptrace_scope is 3
  bool root_without_setfcap = false;  // this process is root, and CAP_SETFCAP is not in its effective set
  bool inside_agent_run = false;      // pid 1 is the init of a sandbox of ours
};
HostKnobs read_knobs();

/// One line that says what to do about it; empty when we do not know.
std::string remedy_for(const Failure& failure, const HostKnobs& knobs);

}  // namespace agentrun::sandbox
