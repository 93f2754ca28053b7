// doctor: what this host can and cannot do, each with its remedy.
#include <cstdio>

#include <agentrun/sandbox.h>
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrun::cli {

int doctor_command(Words words) {
  const Arguments arguments = parse_arguments(words, {});
  if (!arguments.positional.empty()) throw UsageError("doctor takes no arguments", "agent-run doctor");
  bool good = true;
  for (const sandbox::Feature& feature : sandbox::probe_features()) {
    const char* word = feature.present ? "ok      " : feature.required ? "MISSING " : "absent  ";
    std::printf("%s %-28s %s\n", word, printable(feature.name).c_str(), printable(feature.detail).c_str());
    if (!feature.present && !feature.remedy.empty()) std::printf("          remedy: %s\n", printable(feature.remedy).c_str());
    if (!feature.present && feature.required) good = false;
  }
  std::printf("%s\n", good ? "agent-run works here" : "agent-run cannot keep its promises here and will refuse to run");
  return good ? 0 : 1;
}

}  // namespace agentrun::cli
