// agent-run journal forward: sends what the receivers of a finished run have not got.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <agentrun/journal.h>
#include <agentrun/journal/index.h>
#include <agentrun/supervisor.h>
#include <agentrun/sys/error.h>
#include "supervisor/journal/run_sinks.h"

namespace agentrun::supervisor {

namespace {

journal::Report verified(const std::filesystem::path& run_directory, const std::filesystem::path& state_directory) {
  const std::vector<std::string> trusted{journal::load_or_make_identity(state_directory).vkey()};
  const auto anchors = journal::index_anchors(state_directory, run_directory.filename().string(), trusted);
  return journal::verify(run_directory, trusted, {.anchors = anchors, .authorities = {}, .progress = {}});
}

/// A text as a record writes it.
std::string quoted(const std::string& text) {
  journal::Record record;
  record.begin();
  const std::string_view line = record.text("n", text).line();
  return std::string(line.substr(5, line.size() - 7));  // between {"n": and } LF
}

/// Of the URLs in the run's directory, which anybody may have written there, those whose receivers its signed
/// journal.open names.
std::vector<std::string> own_urls(const std::vector<std::string>& urls, const journal::Report& report,
                                  const Places& places) {
  constexpr std::string_view member = ",\"sinks\":[";
  const std::size_t at = report.signed_records == 0 ? std::string::npos : report.opening.find(member);
  const std::size_t end = report.opening.find(']', at == std::string::npos ? 0 : at);
  const std::string named = at == std::string::npos || end == std::string::npos
                                ? ""
                                : "," + report.opening.substr(at + member.size(), end - at - member.size()) + ",";
  std::vector<std::string> own;
  for (const std::string& url : urls) {
    if (named.find("," + quoted(prepare_sink(url, places).target.name) + ",") != std::string::npos) own.push_back(url);
  }
  return own;
}

std::vector<std::string> files_of(const std::vector<PreparedSink>& sinks) {
  std::vector<std::string> files;
  for (const PreparedSink& sink : sinks) {
    if (sink.target.kind == sink::Target::Kind::file) files.push_back(sink.target.path);
  }
  return files;
}

}  // namespace

std::vector<std::string> forward(const std::filesystem::path& run_directory,
                                 const std::filesystem::path& state_directory, const std::vector<std::string>& urls,
                                 int patience_ms) {
  const Places places = find_places();
  const Fd directory(
      check(::open(run_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", run_directory.string()));
  if (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0)
    throw Refusal("run " + run_directory.filename().string() + " is going on, or somebody else forwards it",
                  "its sinks follow it; wait for its end");
  std::vector<std::string> known = sink::read_urls(run_directory);
  const journal::Report report = verified(run_directory, state_directory);
  const bool sound = report.status == journal::Status::complete || report.status == journal::Status::incomplete;
  if (urls.empty() && !sound)
    throw Refusal(
        "the run is " + std::string(journal::name(report.status)) + ": who its receivers were is not believed",
        "agent-run journal verify says why; name receivers: --sink URL");
  const std::vector<std::string> wanted = urls.empty() ? own_urls(known, report, places) : urls;
  if (wanted.empty() && !known.empty())
    throw Refusal("the receivers in the directory of run " + run_directory.filename().string() +
                      " are not those that its journal names",
                  "name them: --sink URL");
  if (wanted.empty())
    throw Refusal("run " + run_directory.filename().string() + " had no sink", "name one: --sink URL");
  std::vector<PreparedSink> sinks;
  std::vector<std::size_t> numbers;
  for (const std::string& url : wanted) {
    sinks.push_back(prepare_sink(url, places));
    const auto place = std::ranges::find(known, url);
    numbers.push_back(static_cast<std::size_t>(place - known.begin()));
    if (place == known.end()) known.push_back(url);
  }
  require_users_sinks(sinks, state_directory, places);
  const std::string program = find_sink_program(std::filesystem::absolute(state_directory), places);
  const StateUse use(state_directory, "--journal", places, files_of(sinks));
  sink::write_urls(run_directory, known);
  const std::uint64_t records = journal::show(run_directory, {}, [](std::uint64_t, std::string_view) { return true; });
  if (records == 0)
    throw Refusal("run " + run_directory.filename().string() + " has no records: they were pruned, or it never began");
  std::optional<journal::Key> identity;
  const bool signs = std::ranges::any_of(
      sinks, [](const PreparedSink& sink) { return sink.target.format == sink::Format::cloudevents; });
  if (signs && !sound)
    throw Refusal("the run is " + std::string(journal::name(report.status)) + ": its records are not signed as events",
                  "agent-run journal verify says why");
  if (signs) identity = journal::load_or_make_identity(state_directory);
  const std::string run = run_directory.filename().string();
  const std::string origin = identity ? journal::identity_name(*identity) + "/" + run : "";
  Sinks all(sinks, numbers,
            {.program = program,
             .run_directory = run_directory,
             .origin = origin,
             .identity = identity ? &*identity : nullptr,
             .state = Sinks::Of::State::over},
            {});
  all.finish_patiently(records, patience_ms);
  return all.unsent(records, run);
}

}  // namespace agentrun::supervisor
