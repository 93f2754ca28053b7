// journal witness and submit (C2SP tlog-witness). The transport is in witness_http.cc.
#include <cerrno>
#include <charconv>
#include <cstdio>

#include <agentrun/journal/witness.h>
#include <agentrun/supervisor.h>
#include <agentrun/witness/witness_http.h>
#include "cli/cli_common.h"
#include "cli/journal/journal_command.h"
#include "cli/text/output.h"
#include "cli/text/print.h"
#include "cli/text/text.h"

namespace agentrun::cli {

namespace {

// A word that is meant as an address is not taken for the path of a socket.
void require_form(const std::string& option, const std::string& where, std::string_view address,
                  const std::string& forms) {
  const std::size_t scheme = where.find("://");
  const bool other = where.starts_with("tcp:") || (scheme != std::string::npos && scheme < where.find('/'));
  if (other && !where.starts_with(address))
    throw UsageError(option + " does not take '" + where + "'",
                     "it takes " + forms + "; a path that looks like an address begins with ./");
}

}  // namespace

int journal_witness(const Arguments& arguments) {
  require_form("--listen", arguments.value("--listen"), "tcp:", "the path of a socket or tcp:ADDRESS:PORT");
  std::vector<std::string> logs =
      arguments.values("--key").empty() ? std::vector<std::string>{} : trusted_keys(arguments);
  const supervisor::StateUse use(arguments.value("--state"), "--state", supervisor::find_places());
  journal::Witness witness(arguments.value("--state"), logs);
  const witness::WitnessSocket socket = witness::listen_for_witness(arguments.value("--listen"));
  print("{}\n", witness.vkey());
  if (std::fflush(stdout) != 0) throw_unwritten(errno);
  print_diagnostic("agent-run: listening on {}\n", socket.name);
  witness::serve_witness(socket.fd, witness);
}

int journal_submit(const Arguments& arguments) {
  require_form("--to", arguments.value("--to"), "http://", "the path of a socket or http://HOST:PORT[/PREFIX]");
  const std::string state = state_directory(arguments);
  std::string body = journal::submission(state, 0);
  auto reply = witness::ask_witness(arguments.value("--to"), body);
  if (reply.status == 409) {  // it remembers an earlier one: go on from there
    std::uint64_t seen = 0;
    std::from_chars(reply.body.data(), reply.body.data() + reply.body.size(), seen);
    body = journal::submission(state, seen);
    reply = witness::ask_witness(arguments.value("--to"), body);
  }
  if (reply.status == 409 || reply.status == 422) {
    print("FORKED  the witness has seen a different index\n");
    return 1;
  }
  if (reply.status != 200)
    throw Refusal("the witness replied with status " + std::to_string(reply.status),
                  "for 403 and 404: the witness must be started with the key that agent-run key show prints");
  const std::string note = journal::cosigned(body, reply.body, arguments.value("--witness"));
  print_for_programs(note);
  return 0;
}

}  // namespace agentrun::cli
