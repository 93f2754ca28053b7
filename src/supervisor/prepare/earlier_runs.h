// What a start knows of the runs before it. Read once, before the first helper program is executed.
#pragma once

#include <string>
#include <vector>

#include <agentrun/supervisor.h>
#include "supervisor/state/agent_writable_dirs.h"

namespace agentrun::supervisor {

/// What earlier runs remembered, in all the state directories of this user.
struct EarlierRuns {
  EarlierRuns(const Options& options, const Places& places)
      : state(state_directory_of(options, places)),
        states(state_directories(state, places)),
        remembering_states(written_directories(state, places)),
        agent_writable(remembering_states),
        elsewhere(states, Memory::states) {}

  std::string state;                // this run's
  std::vector<std::string> states;  // this run's first
  std::vector<std::string> remembering_states;
  AgentWritableDirs agent_writable;
  AgentWritableDirs elsewhere;  // state directories that runs had in other places
};

/// As prepare() of supervisor.h, by a start that has read this already.
Prepared prepare(const Options& options, const Places& places, const EarlierRuns& earlier);

}  // namespace agentrun::supervisor
