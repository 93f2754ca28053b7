// why: the denials of a run, each once, with the smallest change that would allow it.
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include <agentrun/journal.h>
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/text.h"

namespace agentrun::cli {

namespace {

struct Denial {
  std::uint64_t times = 0;
  nlohmann::json first;
};

std::string field(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// A denial is what the policy refused; a walk that failed by itself carries its own errno.
bool denied_by_policy(const nlohmann::json& record) {
  return field(record, "type") == "decision" && field(record, "act") != "allow" && field(record, "errno") == "EACCES";
}

std::string object_of(const nlohmann::json& record) {
  if (record.contains("dst")) return field(record, "dst") + " port " + field(record, "dport");
  const std::string path = field(record, "path");
  return path.empty() ? field(record, "path_b64") : path;
}

}  // namespace

int why_command(Words words) {
  static constexpr std::array options = {Option{"--journal", "", Option::Takes::value}, Option{"--json", "", Option::Takes::nothing}};
  const Arguments arguments = parse_arguments(words, options);
  if (arguments.positional.size() > 1) throw UsageError("why takes one run", "agent-run why [RUN]");
  const auto run = journal::find_run(state_directory(arguments), arguments.positional.empty() ? "" : arguments.positional[0]);
  std::map<std::string, Denial> denials;
  journal::show(run, {.type = "decision"}, [&](std::uint64_t, std::string_view line) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_discarded() || !denied_by_policy(record)) return true;
    Denial& denial = denials[field(record, "class") + " " + object_of(record)];
    if (denial.times++ == 0) denial.first = record;
    return true;
  });
  for (const auto& [what, denial] : denials) {
    if (arguments.has("--json")) {
      const nlohmann::json out = {{"class", field(denial.first, "class")}, {"object", object_of(denial.first)},
                                  {"remedy", field(denial.first, "remedy")}, {"rule", field(denial.first, "rule")},
                                  {"by", field(denial.first, "by")},         {"exe", field(denial.first, "exe")},
                                  {"sys", field(denial.first, "sys")},       {"times", denial.times}};
      std::printf("%s\n", out.dump().c_str());
      continue;
    }
    const std::string rule = field(denial.first, "rule");
    std::printf("%s  (%s of %s, %llu×)\n  because: %s\n  to allow it: %s\n", printable(what).c_str(),
                printable(field(denial.first, "sys")).c_str(), printable(field(denial.first, "exe")).c_str(),
                static_cast<unsigned long long>(denial.times), rule.empty() ? "no rule allows it" : printable(rule).c_str(),
                printable(field(denial.first, "remedy")).c_str());
  }
  if (denials.empty() && !arguments.has("--json")) std::printf("nothing was denied in %s\n", printable(run.filename().string()).c_str());
  return 0;
}

}  // namespace agentrun::cli
