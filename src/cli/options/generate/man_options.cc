// Compares OPTIONS of a man page with the option table.
#include "cli/options/generate/man_options.h"

#include <algorithm>

#include "cli/options/option_table.h"

namespace agentrun::cli {

namespace {

// "SOCKET|tcp:ADDRESS" as "_SOCKET_|*tcp:*_ADDRESS_": names in capitals are underlined, what is typed is bold. A colon
// between two names is a part of them: _HOST:PORT_.
std::string marked(std::string_view argument) {
  const auto is_name = [](char c) { return (c >= 'A' && c <= 'Z') || c == ':'; };
  const bool only_names = std::ranges::all_of(argument, [&](char c) { return is_name(c) || c == '|'; });
  std::string out;
  char mark = 0;
  for (const char c : argument) {
    const bool name = c >= 'A' && c <= 'Z';
    const char wanted = c == '|' ? '\0' : name || (c == ':' && only_names) ? '_' : '*';
    if (wanted != mark) {
      if (mark != 0) out += mark;
      if (wanted != 0) out += wanted;
    }
    mark = wanted;
    out += c;
  }
  if (mark != 0) out += mark;
  return out;
}

// "*-p* _PROFILE_, *--profile* _PROFILE_".
std::string heading_of(const OptionRow& option) {
  const std::string argument = option.argument.empty() ? "" : " " + marked(option.argument);
  std::string heading;
  if (!option.short_name.empty()) heading = "*" + std::string(option.short_name) + "*" + argument + ", ";
  return heading + "*" + std::string(option.name) + "*" + argument;
}

struct Heading {
  std::size_t line;
  std::string_view text;
};

// The lines of the section OPTIONS that begin with an option in bold.
std::vector<Heading> headings_of(std::string_view source) {
  std::vector<Heading> headings;
  bool inside = false;
  for (std::size_t number = 1; !source.empty(); ++number) {
    const std::string_view line = source.substr(0, source.find('\n'));
    if (line.starts_with("# ")) inside = line == "# OPTIONS";
    if (inside && line.starts_with("*-")) headings.push_back({number, line});
    source.remove_prefix(std::min(source.size(), line.size() + 1));
  }
  return headings;
}

}  // namespace

std::vector<std::string> wrong_options(std::string_view page, std::string_view source) {
  std::vector<std::string> expected;
  for (const OptionRow& option : option_table())
    if (page_of(option) == page) expected.push_back(heading_of(option));
  const std::vector<Heading> found = headings_of(source);
  const std::string file = "man/" + std::string(page) + ".scd";
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    if (found[i].text != expected[i])
      return {file + ":" + std::to_string(found[i].line) + ": OPTIONS has " + std::string(found[i].text) +
              " where the option table has " + expected[i]};
  }
  if (expected.empty()) return {file + ": the option table has no option of this page"};
  if (found.size() < expected.size()) return {file + ": OPTIONS lacks " + expected[found.size()]};
  if (found.size() > expected.size())
    return {file + ":" + std::to_string(found[expected.size()].line) + ": the option table lacks " +
            std::string(found[expected.size()].text)};
  return {};
}

}  // namespace agentrun::cli
