// journal show: the records of a run, for people or as they are.
#include <charconv>
#include <cstdio>

#include <nlohmann/json.hpp>

#include <agentrun/journal.h>
#include "cli/common.h"
#include "cli/journal.h"
#include "cli/text.h"

namespace agentrun::cli {

namespace {

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

}  // namespace

int journal_show(const Arguments& arguments) {
  const auto run = run_of(arguments);
  const bool json = arguments.has("--json");
  journal::show(run, {.type = arguments.value("--type")}, [&](std::uint64_t index, std::string_view line) {
    if (!json) print_record(index, line);
    else if (line.size() > 2 && line[0] == '{') std::printf("{\"i\":%llu,%.*s\n", static_cast<unsigned long long>(index), static_cast<int>(line.size() - 1), line.data() + 1);
    return std::ferror(stdout) == 0;
  });
  return 0;
}

}  // namespace agentrun::cli
