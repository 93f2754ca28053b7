// agent-run: the command line.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include <agentrun/sys/error.h>
#include "cli/cli_arguments.h"
#include "cli/commands.h"
#include "cli/text/text.h"

namespace agentrun::cli {

namespace {

constexpr int refused = 125;
constexpr int usage = 2;

constexpr const char* help_text =
    R"(agent-run [run] [-p PROFILE]… [-w DIR] [--read P] [--write P] [--overlay P] [--allow-host H:P]
          [--sink URL] [--journal DIR] [--json] -- COMMAND…
agent-run check [--all] PROFILE    is this profile good here; what other names are guarded (20, or with --all each)?
agent-run explain [-p PROFILE] [-w DIR] [--open P | --write P | --exec P | --connect H:P [--by P]]
                                   the verdict with its rule; without a question: the whole plan
agent-run why [RUN]                what was denied, and what would allow it (--json, --journal DIR)
agent-run diff [RUN]               what a run changed in overlays, held back from the host (--stat, --json)
agent-run apply [RUN] [PATH…]      make the host so; of what the host would run or trust only what is named or, with
                                   --trusted, all; over later changes of the host only with --force
agent-run discard [RUN]            throw the held changes away
agent-run journal list             the runs, oldest first (--journal DIR)
agent-run journal show [RUN]       the records of a run (--json, --journal DIR); only some: --type, --act, --class,
                                   --path GLOB, --process PID|GLOB, --since and --until 15m|2026-11-22T10:30:00Z
agent-run journal query [RUN…]     the same of several runs, or of all; each line with its run
agent-run journal tail [RUN]       the last records (-n, --lines N), and (-f, --follow) what comes; the same filters
agent-run journal prune            removes records older than 200 days (--older-than DAYS, --try); their proof stays
agent-run journal verify [RUN]     are they all there and unchanged? (--json, --key VKEY|FILE, --against FILE,
                                   --journal DIR); --index: is every run there?
agent-run journal prove SEQ [RUN]  a proof of one record that stands alone; --from SIZE: that the journal only grew
                                   since; --verify FILE: does a proof hold? (--key, --against, --journal)
agent-run journal export --format jsonl|ocsf|ecs|cef|otlp|cloudevents [RUN]
                                   the records for collectors of events (-o, --output FILE)
agent-run journal export --tlog-tiles DIR [RUN]    the tree and the records, for other tools, once they verify
agent-run journal forward [RUN]    sends what the receivers of a finished run's sinks have not got (--sink URL)
agent-run journal report [RUN] -o FILE
                                   the run as one page to look at (--key, --against, --journal)
agent-run journal stamp [RUN]      a request for a time stamp (RFC 3161) of the newest checkpoint (-o FILE, --index);
                                   --reply FILE: keeps the answer; with --tsa-ca FILE, here and with verify: by whom?
agent-run journal witness --listen SOCKET|tcp:ADDRESS:PORT --state DIR --key VKEY…
                                   remembers and cosigns the indexes of others
agent-run journal submit --to SOCKET|http://HOST:PORT --witness VKEY
                                   has the index cosigned, and prints that
agent-run key show                 the public key that signs this user's journals (--journal DIR)
agent-run key agent [COMMENT]      makes an Ed25519 key of ssh-agent that key, before the first run
agent-run doctor                   what this host can and cannot do
agent-run --help | --version

-p, --profile    a shipped profile (default, coding, dependency-work, read-only, offline, ci-strict, allow-all), the
                 name of one in ~/.config/agent-run/profiles, or a path; more than one unite
-w, --workspace  the folder that the agent works in; default: the current one
--read, --write  show one more path of the host to the agent
--overlay        show one more folder, copy on write: changes wait for agent-run diff, apply or discard
--allow-host     a host and port that may be connected to, as in network.allow: github.com:443
--sink           a receiver that gets each record while the run goes on: file:/PATH, syslog:/dev/log,
                 syslog+tcp://HOST:PORT, syslog+tls://HOST:PORT, journald:, otlp+http://HOST:PORT,
                 otlp+https://HOST:PORT
--journal        where identity and journals are kept; default: ~/.local/state/agent-run
--json           for programs: how the run ended as one line on standard error; of the other commands, what they print

Exit code: the command's own; 128+n after signal n; 124 time limit; 125 agent-run refused or could not keep a
guarantee; 126, 127 as the shell's. Manual: agent-run(1), agent-run-profile(5), agent-run-journal(5).
)";

struct Command {
  std::string_view name;
  int (*run)(Words);
  int error_code;
};
constexpr std::array commands = {
    Command{"check", check_command, refused},   Command{"explain", explain_command, refused},
    Command{"doctor", doctor_command, usage},   Command{"why", why_command, usage},
    Command{"journal", journal_command, usage}, Command{"key", key_command, usage},
    Command{"diff", diff_command, usage},       Command{"apply", apply_command, usage},
    Command{"discard", discard_command, usage},
};

bool asks_for_help(Words words) {
  const auto end = std::ranges::find(words, "--");
  return std::any_of(words.begin(), end, [](const std::string& word) { return word == "--help" || word == "-h"; });
}

// The lines of help_text that begin with it, each with the lines that go on with it.
std::string usage_of(const std::string& begin) {
  std::string lines;
  bool about = false;
  std::string_view rest = help_text;
  while (!rest.empty() && rest.front() != '\n') {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    if (line.front() != ' ') about = line.starts_with(begin + " ") || line.starts_with(begin + "\n");
    if (about) lines += line;
    rest.remove_prefix(line.size());
  }
  return lines;
}

int print_usage(Words words) {
  const bool known = std::ranges::any_of(commands, [&](const Command& command) { return command.name == words[0]; });
  const std::string command = known ? "agent-run " + words[0] : "agent-run [run]";
  const std::string narrow = known && words.size() > 1 ? usage_of(command + " " + words[1]) : std::string();
  std::fputs((narrow.empty() ? usage_of(command) : narrow).c_str(), stdout);
  return 0;
}

int guarded(int error_code, const auto& body) {
  try {
    return body();
  } catch (const Refusal& e) {
    print_error(e.what(), e.remedy());
  } catch (const std::exception& e) {
    print_error(e.what(), "");
  }
  return error_code;
}

int main(std::vector<std::string> words, const Inherited& inherited) {
  if (words.empty()) {
    std::fputs(help_text, stderr);
    return refused;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    std::fputs(help_text, stdout);
    return 0;
  }
  if (words[0] == "--version") {
    std::puts("agent-run " AGENTRUN_VERSION);
    return 0;
  }
  if (asks_for_help(words)) return print_usage(words);
  for (const Command& command : commands) {
    if (words[0] == command.name)
      return guarded(command.error_code, [&] { return command.run(Words(words).subspan(1)); });
  }
  return guarded(refused, [&] { return run_command(Words(words).subspan(words[0] == "run" ? 1 : 0), inherited); });
}

}  // namespace

void print_error(const std::string& what, const std::string& remedy) {
  std::fprintf(stderr, "agent-run: %s%s%s\n", printable(what).c_str(), remedy.empty() ? "" : " — ",
               printable(remedy).c_str());
}

}  // namespace agentrun::cli

int main(int argc, char** argv) {
  using namespace agentrun::cli;
  const int code = guarded(refused, [&] {
    return agentrun::cli::main({argv + std::min(argc, 1), argv + argc}, agentrun::take_inherited());
  });
  // Nothing is left that a destructor of a static object would have to save, and OpenSSL's take half a millisecond.
  std::fflush(nullptr);
  ::_exit(code);
}
