// journal report: the page.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <iostream>

#include <agentrun/journal.h>
#include <agentrun/sink.h>
#include <agentrun/sys/error.h>
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/text.h"

namespace agentrun::cli {

int report_command(Words words) {
  static constexpr std::array options = {Option{"--output", "-o", Option::Takes::value}, Option{"--journal", "", Option::Takes::value},
                                         Option{"--key", "", Option::Takes::value, Option::Repeat::yes}};
  const Arguments arguments = parse_arguments(words, options);
  const std::string output = arguments.value("--output");
  if (output.empty() || arguments.positional.size() > 1) throw UsageError("report needs -o FILE and at most one run", "agent-run journal report RUN -o report.html");
  const auto run = journal::find_run(state_directory(arguments), arguments.positional.empty() ? "" : arguments.positional[0]);
  const journal::Report verified = journal::verify(run, trusted_keys(arguments));
  if (output == "-") {
    sink::write_report(std::cout, run, verified);
    std::cout.flush();
    if (!std::cout) throw SysError(errno, "write", "standard output");
    return verified.exit_code();
  }
  // It tells what this user's programs did: nobody else's to read.
  Fd file(::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) throw SysError(errno, "open", output);
  file.reset();
  std::ofstream out(output, std::ios::binary);
  sink::write_report(out, run, verified);
  out.close();
  if (!out) throw SysError(errno, "write", output);
  std::printf("%s  %s\n", std::string(journal::name(verified.status)).c_str(), printable(output).c_str());
  return verified.exit_code();
}

}  // namespace agentrun::cli
