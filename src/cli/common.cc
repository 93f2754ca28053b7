#include "cli/common.h"

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

std::vector<Option> with_run_options(std::initializer_list<Option> more) {
  std::vector<Option> all(run_options.begin(), run_options.end());
  all.insert(all.end(), more);
  return all;
}

std::string state_directory(const Arguments& arguments) {
  return arguments.has("--journal") ? arguments.value("--journal") : supervisor::find_places().state;
}

}  // namespace agentrun::cli
