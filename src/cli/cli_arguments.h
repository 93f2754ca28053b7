// Command lines: which options a command knows, and what was given.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/error.h>

namespace agentrun::cli {

/// A command line that is not understood. Exit code 125 for `run`, 2 for the others.
class UsageError : public Refusal {
 public:
  using Refusal::Refusal;
};

struct Option {
  enum class Takes : std::uint8_t { nothing, value };
  std::string_view name;        // "--profile"
  std::string_view short_name;  // "-p", or empty
  Takes takes = Takes::nothing;
  enum class Repeat : std::uint8_t { no, yes } repeat = Repeat::no;
};

struct Arguments {
  std::map<std::string, std::vector<std::string>, std::less<>> options;  // by long name, in order
  std::vector<std::string> positional;                                   // before "--"
  std::vector<std::string> rest;                                         // after "--"
  bool dashes = false;                                                   // "--" was there

  [[nodiscard]] bool has(std::string_view option) const { return options.find(option) != options.end(); }
  /// The last value given, or `fallback`.
  [[nodiscard]] std::string value(std::string_view option, std::string fallback = {}) const;
  [[nodiscard]] std::vector<std::string> values(std::string_view option) const;
};

/// "--name value", "--name=value", "-n value"; "--" ends the options. Throws UsageError for what `known` does not hold.
Arguments parse_arguments(std::span<const std::string> words, std::span<const Option> known);

}  // namespace agentrun::cli
