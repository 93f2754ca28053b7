// CloudEvents 1.0 in the JSON format, with the sequence extension. agent-run-journal(5) describes the signature.
#include <cstdio>

#include "sink/formats/facts.h"

namespace agentrun::sink {

Json to_cloudevent(const Facts& f, const RunFacts& run) {
  char sequence[24];
  std::snprintf(sequence, sizeof sequence, "%020llu",
                static_cast<unsigned long long>(f.index()));  // sorts as it counts
  Json event = {{"specversion", "1.0"},         {"id", f.id(run)},
                {"source", run.origin},         {"type", "agent-run.journal." + f.type()},
                {"time", rfc3339(f.time_ns())}, {"datacontenttype", "application/json"},
                {"sequence", sequence},         {"data", f.record()}};
  const std::string subject =
      f.text("path").empty() ? f.text("host").empty() ? f.text("dst") : f.text("host") : f.text("path");
  put(event, "subject", subject);
  return event;
}

}  // namespace agentrun::sink
