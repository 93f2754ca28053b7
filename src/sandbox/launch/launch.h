// The state that a started sandbox keeps in the parent.
#pragma once

#include <agentrun/sandbox.h>
#include <agentrun/sys/fd.h>

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/cgroup/systemd_scope.h"
#include "sandbox/launch/launch_failure.h"

namespace agentrun::sandbox {

struct Sandbox::State {
  Fd init;    // pidfd, unreaped until kill()
  Fd agent;   // pidfd
  Fd status;  // our end of the socket pair
  Fd listener, terminal;
  Group group;  // when a control group made by us carries limits
  Scope scope;  // when one that systemd made does
  pid_t init_pid = -1, agent_pid = -1;
  std::optional<RulesetLoader> loader;  // until the ruleset is known to be in place
  std::string ruleset;
  egress::Sockets sockets;  // with Plan::egress
  bool wants_terminal = false, wants_sockets = false;
  bool trapped = true;
  bool end_reported = false;  // the agent's end, or `lost`, was given out

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { kill(); }
  void kill() noexcept;
};

/// A failure that a child told, with its remedy.
LaunchError launch_error(const Failure& failure);

}  // namespace agentrun::sandbox
