// A failure of a child before exec, as a message to the parent: stage, call, object, errno. The parent adds the remedy,
// because only the parent can still look at the host.
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
/// The inverse. Bytes that encode() does not make give {"launch", "decode", "", EPROTO}, which is a failure too.
Failure decode_failure(std::string_view bytes);

/// Settings of the host that distinguish causes with the same errno.
struct HostKnobs {
  bool userns_switched_off = false;   // Debian's kernel.unprivileged_userns_clone or user.max_user_namespaces is 0
  bool apparmor_restricts = false;    // kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu 24.04)
  bool no_ptrace = false;             // kernel.yama.ptrace_scope is 3
  bool root_without_setfcap = false;  // this process is root, and CAP_SETFCAP is not in its effective set
  bool inside_agent_run = false;      // pid 1 is the init of an agent-run sandbox
};
HostKnobs read_knobs();

/// One line that tells the user what to do; empty when unknown.
std::string remedy_for(const Failure& failure, const HostKnobs& knobs);

}  // namespace agentrun::sandbox
