// journal report: the page.
#include <fcntl.h>

#include <fstream>
#include <iostream>

#include <agentrun/sink.h>
#include <agentrun/sys/error.h>
#include "cli/journal.h"
#include "cli/text.h"

namespace agentrun::cli {

void make_private(const std::string& path) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) throw SysError(errno, "open", path);
}

int journal_report(const Arguments& arguments) {
  const std::string output = arguments.value("--output");
  if (output.empty()) throw UsageError("report needs -o FILE", "agent-run journal report RUN -o report.html");
  const auto run = run_of(arguments);
  const auto anchors = anchors_of(arguments, run);
  const std::string authorities = authorities_of(arguments);
  const journal::Report verified = journal::verify(run, trusted_keys(arguments), {.anchors = anchors, .authorities = authorities, .progress = {}});
  if (output == "-") {
    sink::write_report(std::cout, run, verified);
    std::cout.flush();
    if (!std::cout) throw SysError(errno, "write", "standard output");
    return verified.exit_code();
  }
  make_private(output);
  std::ofstream out(output, std::ios::binary);
  sink::write_report(out, run, verified);
  out.close();
  if (!out) throw SysError(errno, "write", output);
  std::printf("%s  %s\n", std::string(journal::name(verified.status)).c_str(), printable(output).c_str());
  return verified.exit_code();
}

}  // namespace agentrun::cli
