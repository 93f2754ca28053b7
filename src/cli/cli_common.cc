// What several commands do with their options.
#include "cli/cli_common.h"

#include <agentrun/sandbox.h>

namespace agentrun::cli {

supervisor::Options options_of(const Arguments& arguments) {
  supervisor::Options options;
  if (arguments.has("--profile")) options.profiles = arguments.values("--profile");
  if (arguments.has("--workspace")) options.workspace = arguments.value("--workspace");
  if (arguments.has("--journal")) options.state_directory = arguments.value("--journal");
  options.read = arguments.values("--read");
  options.write = arguments.values("--write");
  options.overlay = arguments.values("--overlay");
  options.allow_hosts = arguments.values("--allow-host");
  options.sinks = arguments.values("--sink");
  return options;
}

std::string state_directory(const Arguments& arguments) {
  if (arguments.has("--journal")) return arguments.value("--journal");
  if (sandbox::inside_agent_run())
    throw Refusal(
        "this is a sandbox of agent-run: what runs leave behind, this one too, is kept outside and not shown here",
        "ask outside, now or after the run: agent-run why tells what was denied, and the change that would allow it");
  return supervisor::find_places().state;
}

UsersState::UsersState(const Arguments& arguments)
    : directory(state_directory(arguments)), use(directory, "--journal", supervisor::find_places()) {}

}  // namespace agentrun::cli
