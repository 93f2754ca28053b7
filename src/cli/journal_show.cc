// journal show and tail: the records of a run, for people or as they are. journal prune.
#include <time.h>

#include <charconv>
#include <cstdio>
#include <deque>

#include <nlohmann/json.hpp>

#include <agentrun/journal.h>
#include <agentrun/journal/prune.h>
#include <agentrun/journal/query.h>
#include <agentrun/sys/process.h>
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
  for (const char* key : {"sys", "path", "path_b64", "to", "dst", "dport", "errno", "file", "profile", "sink", "reason", "exit"}) {
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

void print_line(std::uint64_t index, std::string_view line, bool json) {
  if (!json) return print_record(index, line);
  if (line.size() <= 2 || line[0] != '{') return;
  std::printf("{\"i\":%llu,%.*s\n", static_cast<unsigned long long>(index), static_cast<int>(line.size() - 1), line.data() + 1);
}

journal::Filter filter_of(const Arguments& arguments) {
  journal::Filter filter{.types = arguments.values("--type"),
                         .acts = arguments.values("--act"),
                         .classes = arguments.values("--class"),
                         .paths = arguments.values("--path"),
                         .processes = arguments.values("--process")};
  const std::int64_t now = wall_clock_ns();
  if (arguments.has("--since")) filter.since = journal::time_of(arguments.value("--since"), now);
  if (arguments.has("--until")) filter.until = journal::time_of(arguments.value("--until"), now);
  return filter;
}

constexpr std::size_t default_tail = 10;
constexpr std::size_t max_tail = 100'000;

std::size_t tail_count(const Arguments& arguments) {
  const std::string word = arguments.value("--lines", std::to_string(default_tail));
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
  if (error != std::errc{} || end != word.data() + word.size() || count > max_tail)
    throw UsageError("'" + word + "' is not a number of records up to " + std::to_string(max_tail), "agent-run journal tail --lines 20");
  return count;
}

}  // namespace

int journal_show(const Arguments& arguments) {
  const auto run = run_of(arguments);
  const bool json = arguments.has("--json");
  const journal::Filter filter = filter_of(arguments);
  journal::show(run, {}, [&](std::uint64_t index, std::string_view line) {
    if (filter.fits(line)) print_line(index, line, json);
    return std::ferror(stdout) == 0;
  });
  return 0;
}

int journal_tail(const Arguments& arguments) {
  journal::Follower follower(run_of(arguments));
  const bool json = arguments.has("--json");
  const journal::Filter filter = filter_of(arguments);
  const std::size_t count = tail_count(arguments);
  std::deque<std::pair<std::uint64_t, std::string>> last;
  std::uint64_t index = 0;
  std::string_view line;
  while (follower.next(index, line)) {
    if (!filter.fits(line)) continue;
    last.emplace_back(index, line);
    if (last.size() > count) last.pop_front();
  }
  for (const auto& [number, text] : last) print_line(number, text, json);
  while (arguments.has("--follow") && !follower.ended() && std::ferror(stdout) == 0) {
    std::fflush(stdout);
    const timespec pause{.tv_sec = 0, .tv_nsec = 100'000'000};
    ::nanosleep(&pause, nullptr);
    while (follower.next(index, line)) {
      if (filter.fits(line)) print_line(index, line, json);
    }
  }
  return 0;
}

int journal_prune(const Arguments& arguments) {
  if (!arguments.positional.empty()) throw UsageError("prune takes no run", "agent-run journal prune [--older-than DAYS] [--try]");
  const std::string word = arguments.value("--older-than", std::to_string(journal::retention_days));
  unsigned days = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), days);
  if (error != std::errc{} || end != word.data() + word.size() || days > 36'500) throw UsageError("'" + word + "' is not a number of days", "agent-run journal prune --older-than 365");
  const bool try_only = arguments.has("--try");
  for (const journal::Pruned& run : journal::prune(state_directory(arguments), days, try_only ? journal::Prune::try_only : journal::Prune::remove)) {
    std::printf("%s  %s, %llu records\n", printable(run.id).c_str(), try_only ? "would be pruned" : "pruned", static_cast<unsigned long long>(run.records));
  }
  return 0;
}

}  // namespace agentrun::cli
