// journal report: writes a run as one HTML page.
#include <cstdio>

#include <agentrun/sink.h>
#include <agentrun/sys/error.h>
#include "cli/journal/journal_command.h"
#include "cli/text/output.h"
#include "cli/text/print.h"
#include "cli/text/text.h"

namespace agentrun::cli {

int journal_report(const Arguments& arguments) {
  const std::string output = arguments.value("--output");
  const auto run = run_of(arguments);
  const auto anchors = anchors_of(arguments, run);
  const std::string authorities = authorities_of(arguments);
  const journal::Report verified =
      journal::verify(run, trusted_keys(arguments), {.anchors = anchors, .authorities = authorities, .progress = {}});
  Output out(output);
  sink::write_report(out.stream(), run, verified);
  out.finish();
  if (output != "-") print("{}  {}\n", journal::name(verified.status), output);
  return verified.exit_code();
}

}  // namespace agentrun::cli
