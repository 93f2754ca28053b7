// The records that the supervisor itself appends.
#pragma once

#include <string>

#include <agentrun/journal.h>
#include <agentrun/supervisor.h>

namespace agentrun::supervisor {

struct Closing {
  std::string reason;  // exited, time-limit, oom, broker-died, egress-died, sandbox-lost, journal-failed, denied-image, start-failed, failed
  int exit_code = 0;
  std::uint64_t decisions = 0, denials = 0, absent = 0, oom_kills = 0;
  std::optional<Traffic> traffic;  // with egress
};

/// Each gives 0 or the errno of the append.
int append_open(journal::Appender& entries, const journal::Run& run, const std::string& run_id, const Prepared& prepared,
                const std::vector<std::string>& argv);
/// "weakened: host-root, limits (memory: each process; cpus: nothing)", or empty.
std::string weakenings_line(const Prepared& prepared);
int append_policies(journal::Appender& entries, const std::string& run_id, const policy::Policy& policy);
int append_close(journal::Appender& entries, const std::string& run_id, const Closing& closing);

}  // namespace agentrun::supervisor
