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

// A denial is what the policy refused; a walk that failed by itself carries its own errno. What egress refused, it says in
// records of its own.
bool denied_by_policy(const nlohmann::json& record) {
  const std::string type = field(record, "type"), error = field(record, "errno");
  if (type == "decision") return field(record, "act") != "allow" && error == "EACCES";
  if (type == "dns.query") return field(record, "act") == "deny";
  if (type == "net.open") return error == "EACCES";
  if (type == "net.close") return field(record, "end") == "refused";
  return type == "nft.drop" || type == "net.refused";
}

// What was tried, for the records that have no class.
std::string class_of(const nlohmann::json& record) {
  const std::string type = field(record, "type");
  if (type == "decision") return field(record, "class");
  if (type == "dns.query") return "look up";
  return type == "net.close" || type == "nft.drop" ? "send" : "connect";
}

std::string how(const nlohmann::json& record) {
  if (field(record, "type") == "decision") return field(record, "sys") + " of " + field(record, "exe");
  const std::string exe = field(record, "exe"), proto = field(record, "proto");
  return exe.empty() ? proto.empty() ? "tcp" : proto : proto + " of " + exe;
}

std::string because(const nlohmann::json& record) {
  const std::string rule = field(record, "rule"), reason = field(record, "reason");
  if (!reason.empty()) return reason;
  return rule.empty() ? "no rule allows it" : rule;
}

std::uint64_t times_of(const nlohmann::json& record) {
  const std::string count = field(record, "count");
  return count.empty() ? 1 : std::strtoull(count.c_str(), nullptr, 10);
}

std::string object_of(const nlohmann::json& record) {
  if (record.contains("dst")) {
    const std::string host = field(record, "host"), port = field(record, "dport");
    return (host.empty() ? field(record, "dst") : host) + (port.empty() ? "" : " port " + port);
  }
  if (record.contains("host")) return field(record, "host");
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
  journal::show(run, {}, [&](std::uint64_t, std::string_view line) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_discarded() || !denied_by_policy(record)) return true;
    Denial& denial = denials[class_of(record) + " " + object_of(record)];
    if (denial.times == 0) denial.first = record;
    denial.times += times_of(record);
    return true;
  });
  for (const auto& [what, denial] : denials) {
    if (arguments.has("--json")) {
      const nlohmann::json out = {{"class", class_of(denial.first)}, {"object", object_of(denial.first)},
                                  {"remedy", field(denial.first, "remedy")}, {"rule", field(denial.first, "rule")},
                                  {"by", field(denial.first, "by")},         {"exe", field(denial.first, "exe")},
                                  {"sys", field(denial.first, "sys")},       {"times", denial.times}};
      std::printf("%s\n", out.dump().c_str());
      continue;
    }
    const std::string remedy = field(denial.first, "remedy");
    std::printf("%s  (%s, %llu×)\n  because: %s\n  to allow it: %s\n", printable(what).c_str(), printable(how(denial.first)).c_str(),
                static_cast<unsigned long long>(denial.times), printable(because(denial.first)).c_str(),
                remedy.empty() ? "no rule can" : printable(remedy).c_str());
  }
  if (denials.empty() && !arguments.has("--json")) std::printf("nothing was denied in %s\n", printable(run.filename().string()).c_str());
  return 0;
}

}  // namespace agentrun::cli
