// Options that several commands share.
#pragma once

#include <array>
#include <vector>

#include <agentrun/supervisor.h>
#include "cli/cli_arguments.h"

namespace agentrun::cli {

inline constexpr std::array run_options = {
    Option{"--profile", "-p", Option::Takes::value, Option::Repeat::yes},
    Option{"--workspace", "-w", Option::Takes::value},
    Option{"--read", "", Option::Takes::value, Option::Repeat::yes},
    Option{"--write", "", Option::Takes::value, Option::Repeat::yes},
    Option{"--overlay", "", Option::Takes::value, Option::Repeat::yes},
    Option{"--allow-host", "", Option::Takes::value, Option::Repeat::yes},
    Option{"--sink", "", Option::Takes::value, Option::Repeat::yes},
    Option{"--journal", "", Option::Takes::value},
    Option{"--json", "", Option::Takes::nothing},
};

supervisor::Options options_of(const Arguments& arguments);

/// run_options and `more`.
std::vector<Option> with_run_options(std::initializer_list<Option> more);

/// --journal, else the user's state folder.
std::string state_directory(const Arguments& arguments);
/// The same, for what signs with its key or carries out what it says: one where an agent could write is refused, and
/// while this lives no run begins that would show it.
struct UsersState {
  explicit UsersState(const Arguments& arguments);
  std::string directory;
  supervisor::StateUse use;
};

}  // namespace agentrun::cli
