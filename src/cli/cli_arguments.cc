#include "cli/cli_arguments.h"

#include <algorithm>

namespace agentrun::cli {

std::string Arguments::value(std::string_view option, std::string fallback) const {
  const auto found = options.find(option);
  return found == options.end() ? std::move(fallback) : found->second.back();
}

std::vector<std::string> Arguments::values(std::string_view option) const {
  const auto found = options.find(option);
  return found == options.end() ? std::vector<std::string>{} : found->second;
}

Arguments parse_arguments(std::span<const std::string> words, std::span<const Option> known) {
  Arguments result;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      result.dashes = true;
      result.rest.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (!word.starts_with('-') || word == "-") {
      result.positional.push_back(word);
      continue;
    }
    const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const std::string name = word.substr(0, equals);
    const auto option = std::find_if(known.begin(), known.end(), [&](const Option& o) {
      return name == o.name || (!o.short_name.empty() && name == o.short_name);
    });
    if (option == known.end()) throw UsageError("unknown option " + name, "agent-run --help lists the options");
    std::vector<std::string>& values = result.options[std::string(option->name)];
    if (option->repeat == Option::Repeat::no && !values.empty()) {
      throw UsageError("option " + name + " is given twice", "give it once");
    }
    if (option->takes == Option::Takes::nothing) {
      if (equals != std::string::npos) throw UsageError("option " + name + " takes no value", "write " + name);
      values.emplace_back();
    } else if (equals != std::string::npos) {
      values.push_back(word.substr(equals + 1));
    } else if (i + 1 < words.size() && words[i + 1] != "--") {
      values.push_back(words[++i]);
    } else {
      throw UsageError("option " + name + " needs a value", "write " + name + " VALUE");
    }
    if (option->takes == Option::Takes::value && values.back().empty()) {
      throw UsageError("option " + name + " has an empty value", "write " + name + " VALUE");
    }
  }
  return result;
}

}  // namespace agentrun::cli
