// agent-run journal forward: sends the records of a finished run that its sinks do not have.
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

bool is_sound(const journal::Report& report) {
  return report.status == journal::Status::complete || report.status == journal::Status::incomplete;
}

/// Those of the URLs whose receivers the run's signed journal.open names. Anybody may have written the URLs into the
/// run's directory.
std::vector<std::string> urls_of_run(const std::vector<std::string>& urls, const journal::Report& report,
                                     const Places& places) {
  std::vector<std::string> own;
  if (report.signed_records == 0) return own;
  const auto names = journal::list_field(report.opening, "sinks");
  if (!names) return own;
  for (const std::string& url : urls) {
    if (std::ranges::find(*names, prepare_sink(url, places).target.name) != names->end()) own.push_back(url);
  }
  return own;
}

/// The directory of the run, locked. Throws Refusal while the run, or another forward of it, goes on.
Fd lock_run(const std::filesystem::path& run_directory) {
  Fd directory(
      check(::open(run_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", run_directory.string()));
  if (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0)
    throw Refusal("run " + run_directory.filename().string() + " is still running, or is being forwarded",
                  "wait until it ends");
  return directory;
}

/// The URLs to forward to: those given, else those of the run. Throws Refusal when there are none.
std::vector<std::string> choose_urls(const std::vector<std::string>& given, const std::vector<std::string>& known,
                                     const journal::Report& report, const std::string& run, const Places& places) {
  if (!given.empty()) return given;
  if (!is_sound(report))
    throw Refusal("the run is " + std::string(journal::name(report.status)) + ": its list of sinks is not trusted",
                  "agent-run journal verify shows why; name sinks with --sink URL");
  std::vector<std::string> own = urls_of_run(known, report, places);
  if (own.empty() && !known.empty())
    throw Refusal("the sinks in the directory of run " + run + " are not those that its journal names",
                  "name them with --sink URL");
  if (own.empty()) throw Refusal("run " + run + " had no sink", "name one with --sink URL");
  return own;
}

/// The sinks to forward to, and the number of each among those of the run.
struct Receivers {
  std::vector<PreparedSink> sinks;
  std::vector<std::size_t> numbers;
};

/// Adds new URLs to `known`.
Receivers prepare_receivers(const std::vector<std::string>& urls, std::vector<std::string>& known,
                            const Places& places) {
  Receivers receivers;
  for (const std::string& url : urls) {
    receivers.sinks.push_back(prepare_sink(url, places));
    const auto place = std::ranges::find(known, url);
    receivers.numbers.push_back(static_cast<std::size_t>(place - known.begin()));
    if (place == known.end()) known.push_back(url);
  }
  return receivers;
}

std::vector<std::string> files_of(const std::vector<PreparedSink>& sinks) {
  std::vector<std::string> files;
  for (const PreparedSink& sink : sinks) {
    if (sink.target.kind == sink::Target::Kind::file) files.push_back(sink.target.path);
  }
  return files;
}

/// The identity, if a sink signs events. Throws Refusal when the journal is not sound enough for that.
std::optional<journal::Key> signing_identity(const std::vector<PreparedSink>& sinks, const journal::Report& report,
                                             const std::filesystem::path& state_directory) {
  const bool signs = std::ranges::any_of(
      sinks, [](const PreparedSink& sink) { return sink.target.format == sink::Format::cloudevents; });
  if (!signs) return std::nullopt;
  if (!is_sound(report))
    throw Refusal("the run is " + std::string(journal::name(report.status)) + ": its records are not signed as events",
                  "agent-run journal verify shows why");
  return journal::load_or_make_identity(state_directory);
}

}  // namespace

std::vector<std::string> forward(const std::filesystem::path& run_directory,
                                 const std::filesystem::path& state_directory, const std::vector<std::string>& urls,
                                 int patience_ms) {
  const Places places = find_places();
  const std::string run = run_directory.filename().string();
  const Fd lock = lock_run(run_directory);
  std::vector<std::string> known = sink::read_urls(run_directory);
  const journal::Report report = verified(run_directory, state_directory);
  const Receivers receivers = prepare_receivers(choose_urls(urls, known, report, run, places), known, places);
  require_users_sinks(receivers.sinks, state_directory, places);
  const std::string program = find_sink_program(std::filesystem::absolute(state_directory), places);
  const StateUse use(state_directory, "--journal", places, files_of(receivers.sinks));
  sink::write_urls(run_directory, known);
  const std::uint64_t records = journal::show(run_directory, {}, [](std::uint64_t, std::string_view) { return true; });
  if (records == 0) throw Refusal("run " + run + " has no records: they were pruned, or the run never began");
  const auto identity = signing_identity(receivers.sinks, report, state_directory);
  Sinks all(receivers.sinks, receivers.numbers,
            {.program = program,
             .run_directory = run_directory,
             .origin = identity ? journal::identity_name(*identity) + "/" + run : "",
             .identity = identity ? &*identity : nullptr,
             .state = Sinks::Of::State::over},
            {});
  all.finish_patiently(records, patience_ms);
  return all.unsent(records, run);
}

}  // namespace agentrun::supervisor
