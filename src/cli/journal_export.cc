// journal export: the records of a run in another form, or the tree for other tools. journal forward: to receivers.
#include <cstdio>
#include <fstream>
#include <iostream>

#include <agentrun/journal/proof.h>
#include <agentrun/sink.h>
#include <agentrun/sys/error.h>
#include "cli/common.h"
#include "cli/journal.h"
#include "cli/text.h"

namespace agentrun::cli {

namespace {

constexpr const char* forms = "agent-run journal export --format jsonl|ocsf|ecs|cef|otlp|cloudevents [RUN] [-o FILE], or --tlog-tiles DIR [RUN]";

std::uint64_t export_records(const std::filesystem::path& run, sink::Format format, std::optional<sink::Signer> signer, std::ostream& out) {
  std::uint64_t passed_over = 0;
  sink::Exporter exporter(format, std::move(signer), [&](const std::string& line) { out << line << '\n'; });
  std::optional<std::string> broken;
  journal::show(run, {.broken = &broken}, [&](std::uint64_t index, std::string_view line) {
    if (!exporter.add(index, line)) ++passed_over;
    return static_cast<bool>(out);
  });
  exporter.finish();
  if (broken) {
    std::fprintf(stderr, "agent-run: %s\n", broken->c_str());  // what follows has no lines that could be counted
    ++passed_over;
  }
  out.flush();
  return passed_over;
}

int export_format(const Arguments& arguments) {
  const auto format = sink::format_named(arguments.value("--format"));
  if (!format) throw UsageError("no format '" + arguments.value("--format") + "'", forms);
  const auto run = run_of(arguments);
  std::optional<sink::Signer> signer;
  if (*format == sink::Format::cloudevents) signer = sink::Signer{.key = journal::load_or_make_identity(state_directory(arguments)), .certificate = {}};
  const std::string output = arguments.value("--output", "-");
  std::ofstream file;
  if (output != "-") {
    make_private(output);
    file.open(output, std::ios::binary);
  }
  std::ostream& out = output == "-" ? std::cout : file;
  const std::uint64_t passed_over = export_records(run, *format, std::move(signer), out);
  if (!out) throw SysError(errno, "write", output);
  if (passed_over == 0) return 0;
  std::fprintf(stderr, "agent-run: %llu lines are no records and were passed over: agent-run journal verify\n", static_cast<unsigned long long>(passed_over));
  return 1;
}

}  // namespace

int journal_export(const Arguments& arguments) {
  if (arguments.has("--format") == arguments.has("--tlog-tiles")) throw UsageError("export needs one form", forms);
  if (arguments.has("--format")) return export_format(arguments);
  journal::export_tiles(run_of(arguments), arguments.value("--tlog-tiles"));
  return 0;
}

int journal_forward(const Arguments& arguments) {
  constexpr int patience_ms = 10'000;
  const auto unsent = supervisor::forward(run_of(arguments), state_directory(arguments), arguments.values("--sink"), patience_ms);
  for (const std::string& line : unsent) std::fprintf(stderr, "agent-run: %s\n", printable(line).c_str());
  return unsent.empty() ? 0 : 1;
}

}  // namespace agentrun::cli
