// journal list | show | verify, and key show.
#include <charconv>
#include <cstdio>

#include <nlohmann/json.hpp>

#include <agentrun/journal.h>
#include <agentrun/sys/process.h>
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/text.h"

namespace agentrun::cli {

namespace {

constexpr std::array journal_options = {
    Option{"--journal", "", Option::Takes::value}, Option{"--json", "", Option::Takes::nothing},
    Option{"--key", "", Option::Takes::value, Option::Repeat::yes}, Option{"--type", "", Option::Takes::value},
};

std::string run_word(const Arguments& arguments) {
  if (arguments.positional.size() > 1) throw UsageError("one run at a time", "agent-run journal list names the runs");
  return arguments.positional.empty() ? "" : arguments.positional[0];
}

int list(const Arguments& arguments) {
  for (const journal::RunInfo& run : journal::list_runs(state_directory(arguments))) {
    std::printf("%s  %s\n", printable(run.id).c_str(), run.closed ? "closed" : "open or broken off");
  }
  return 0;
}

std::string text(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// time, verdict, what, on what, by whom. Everything else is in --json.
void print_record(std::uint64_t index, std::string_view line) {
  const auto r = nlohmann::json::parse(line, nullptr, false);
  if (r.is_discarded()) {
    std::printf("%6llu  (not a record)\n", static_cast<unsigned long long>(index));
    return;
  }
  const std::string type = text(r, "type");
  std::string what;
  for (const char* key : {"sys", "path", "path_b64", "to", "dst", "dport", "errno", "file", "profile", "reason", "exit"}) {
    if (type == "decision" && std::string_view(key) == "profile") continue;
    const std::string value = text(r, key);
    if (!value.empty()) what += " " + value;
  }
  const std::string t = text(r, "t");
  std::int64_t ns = 0;
  std::from_chars(t.data(), t.data() + t.size(), ns);
  std::printf("%6llu %s %-13s %-5s%s  [%s %s]\n", static_cast<unsigned long long>(index), time_text(ns).c_str(),
              printable(type).c_str(), printable(text(r, "act")).c_str(), printable(what).c_str(), printable(text(r, "pid")).c_str(),
              printable(text(r, "comm")).c_str());
}

int show(const Arguments& arguments) {
  const auto run = journal::find_run(state_directory(arguments), run_word(arguments));
  const bool json = arguments.has("--json");
  journal::show(run, {.type = arguments.value("--type")}, [&](std::uint64_t index, std::string_view line) {
    if (!json) print_record(index, line);
    else if (line.size() > 2 && line[0] == '{') std::printf("{\"i\":%llu,%.*s\n", static_cast<unsigned long long>(index), static_cast<int>(line.size() - 1), line.data() + 1);
    return std::ferror(stdout) == 0;
  });
  return 0;
}

int verify(const Arguments& arguments) {
  const auto run = journal::find_run(state_directory(arguments), run_word(arguments));
  const journal::Report report = journal::verify(run, trusted_keys(arguments));
  const std::string status(journal::name(report.status));
  const std::uint64_t unsigned_records = report.records - std::min(report.records, report.signed_records);
  if (arguments.has("--json")) {
    nlohmann::json out = {{"status", status}, {"origin", report.origin}, {"records", report.records}, {"signed", report.signed_records},
                          {"unsigned", unsigned_records}, {"torn_bytes", report.torn_bytes}, {"findings", nlohmann::json::array()}};
    for (const journal::Finding& f : report.findings) out["findings"].push_back({{"rule", f.rule}, {"where", f.where}, {"message", f.message}});
    std::printf("%s\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return report.exit_code();
  }
  std::printf("%s  %s\n  signed %llu, unsigned %llu, torn %llu bytes\n", status.c_str(), printable(report.origin).c_str(),
              static_cast<unsigned long long>(report.signed_records), static_cast<unsigned long long>(unsigned_records),
              static_cast<unsigned long long>(report.torn_bytes));
  for (const journal::Finding& f : report.findings) {
    std::printf("  %s %s: %s\n", f.rule.c_str(), printable(f.where).c_str(), printable(f.message).c_str());
  }
  return report.exit_code();
}

}  // namespace

std::vector<std::string> trusted_keys(const Arguments& arguments) {
  std::vector<std::string> keys = arguments.values("--key");
  if (!keys.empty()) return keys;
  if (auto own = try_read_file(state_directory(arguments) + "/identity.vkey")) {
    while (own->ends_with('\n')) own->pop_back();
    keys.push_back(*own);
  }
  return keys;
}

int journal_command(Words words) {
  if (words.empty()) throw UsageError("journal needs a command", "agent-run journal list|show|verify [RUN]");
  if (words[0] == "report") return report_command(words.subspan(1));
  const Arguments arguments = parse_arguments(words.subspan(1), journal_options);
  if (words[0] == "list") return list(arguments);
  if (words[0] == "show") return show(arguments);
  if (words[0] == "verify") return verify(arguments);
  throw UsageError("unknown journal command '" + words[0] + "'", "agent-run journal list|show|verify [RUN]");
}

int key_command(Words words) {
  if (words.empty() || words[0] != "show") throw UsageError("key needs a command", "agent-run key show");
  static constexpr std::array key_options = {Option{"--journal", "", Option::Takes::value}};
  const Arguments arguments = parse_arguments(words.subspan(1), key_options);
  std::printf("%s\n", journal::load_or_make_identity(state_directory(arguments)).vkey().c_str());
  return 0;
}

}  // namespace agentrun::cli
