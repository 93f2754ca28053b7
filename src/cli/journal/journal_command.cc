// journal: its options and commands; list. And key show.
#include <array>
#include <cstdio>

#include <agentrun/journal.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/regular.h>
#include "cli/cli_common.h"
#include "cli/commands.h"
#include "cli/journal/journal_command.h"
#include "cli/text/text.h"

namespace agentrun::cli {

namespace {

constexpr const char* usage =
    "agent-run journal list|show|query|tail|verify|prove|report|export|forward|prune|stamp|witness|submit";

constexpr Option journal_option{"--journal", "", Option::Takes::value};
constexpr Option json_option{"--json", "", Option::Takes::nothing};
constexpr Option key_option{"--key", "", Option::Takes::value, Option::Repeat::yes};
constexpr Option against_option{"--against", "", Option::Takes::value, Option::Repeat::yes};

constexpr Option tsa_option{"--tsa-ca", "", Option::Takes::value};

constexpr std::array list_options = {journal_option};
constexpr Option filter_option(std::string_view name) {
  return {name, "", Option::Takes::value, Option::Repeat::yes};
}
constexpr std::array show_options = {journal_option,
                                     json_option,
                                     filter_option("--type"),
                                     filter_option("--act"),
                                     filter_option("--class"),
                                     filter_option("--path"),
                                     filter_option("--process"),
                                     Option{"--since", "", Option::Takes::value},
                                     Option{"--until", "", Option::Takes::value}};
constexpr std::array tail_options = {journal_option,
                                     json_option,
                                     filter_option("--type"),
                                     filter_option("--act"),
                                     filter_option("--class"),
                                     filter_option("--path"),
                                     filter_option("--process"),
                                     Option{"--since", "", Option::Takes::value},
                                     Option{"--until", "", Option::Takes::value},
                                     Option{"--lines", "-n", Option::Takes::value},
                                     Option{"--follow", "-f", Option::Takes::nothing}};
constexpr std::array prune_options = {journal_option, Option{"--older-than", "", Option::Takes::value},
                                      Option{"--try", "", Option::Takes::nothing}};
constexpr std::array verify_options = {
    journal_option, json_option, key_option, against_option, Option{"--index", "", Option::Takes::nothing}, tsa_option};
constexpr std::array stamp_options = {journal_option, tsa_option, Option{"--index", "", Option::Takes::nothing},
                                      Option{"--reply", "", Option::Takes::value},
                                      Option{"--output", "-o", Option::Takes::value}};
constexpr std::array prove_options = {journal_option, key_option, against_option,
                                      Option{"--from", "", Option::Takes::value},
                                      Option{"--verify", "", Option::Takes::value}};
constexpr std::array report_options = {journal_option, key_option, against_option, tsa_option,
                                       Option{"--output", "-o", Option::Takes::value}};
constexpr std::array export_options = {journal_option, key_option, Option{"--tlog-tiles", "", Option::Takes::value},
                                       Option{"--format", "", Option::Takes::value},
                                       Option{"--output", "-o", Option::Takes::value}};

constexpr std::array forward_options = {journal_option,
                                        Option{"--sink", "", Option::Takes::value, Option::Repeat::yes}};
constexpr std::array witness_options = {key_option, Option{"--listen", "", Option::Takes::value},
                                        Option{"--state", "", Option::Takes::value}};
constexpr std::array submit_options = {journal_option, Option{"--to", "", Option::Takes::value},
                                       Option{"--witness", "", Option::Takes::value}};

struct Command {
  std::string_view name;
  std::span<const Option> options;
  int (*run)(const Arguments&);
};
constexpr std::array commands = {
    Command{"list", list_options, journal_list},          Command{"show", show_options, journal_show},
    Command{"query", show_options, journal_query},        Command{"verify", verify_options, journal_verify},
    Command{"prove", prove_options, journal_prove},       Command{"export", export_options, journal_export},
    Command{"tail", tail_options, journal_tail},          Command{"prune", prune_options, journal_prune},
    Command{"witness", witness_options, journal_witness}, Command{"submit", submit_options, journal_submit},
    Command{"forward", forward_options, journal_forward}, Command{"report", report_options, journal_report},
    Command{"stamp", stamp_options, journal_stamp},
};

void add_keys(const std::string& lines, std::vector<std::string>& keys) {
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    if (end > at) keys.push_back(lines.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

std::filesystem::path named_run(const Arguments& arguments, const std::string& word) {
  if (word.find('/') == std::string::npos) return journal::find_run(state_directory(arguments), word);
  std::error_code error;
  const auto folder = std::filesystem::canonical(word, error);
  const bool some = std::filesystem::exists(folder / "keycert", error) ||
                    std::filesystem::exists(folder / "entries.000000.jsonl", error);
  if (error || !some)
    throw Refusal("no folder of a run: " + word,
                  "agent-run journal list names the runs; a path leads to the folder that holds keycert");
  return folder;
}

std::filesystem::path run_of(const Arguments& arguments) {
  if (arguments.positional.size() > 1) throw UsageError("one run at a time", "agent-run journal list names the runs");
  return named_run(arguments, arguments.positional.empty() ? "" : arguments.positional[0]);
}

// Bytes of a file of vkeys.
constexpr std::size_t most_keys = 1U << 20;

std::vector<std::string> trusted_keys(const Arguments& arguments) {
  std::vector<std::string> keys;
  for (const std::string& word : arguments.values("--key")) {
    if (word.find('+') != std::string::npos && !try_read_file(word))
      keys.push_back(word);
    else
      add_keys(read_file(word), keys);
  }
  if (!arguments.has("--key"))
    add_keys(try_read_regular(state_directory(arguments) + "/identity.vkey", most_keys).value_or(""), keys);
  return keys;
}

int journal_list(const Arguments& arguments) {
  for (const journal::RunInfo& run : journal::list_runs(state_directory(arguments))) {
    std::printf("%s  %s\n", printable(run.id).c_str(), run.closed ? "closed" : "open or broken off");
  }
  return 0;
}

int journal_command(Words words) {
  if (words.empty()) throw UsageError("journal needs a command", usage);
  for (const Command& command : commands) {
    if (words[0] == command.name) return command.run(parse_arguments(words.subspan(1), command.options));
  }
  throw UsageError("unknown journal command '" + words[0] + "'", usage);
}

int key_command(Words words) {
  static constexpr std::array key_options = {journal_option};
  if (words.empty() || (words[0] != "show" && words[0] != "agent"))
    throw UsageError("key needs a command", "agent-run key show, or key agent [COMMENT]");
  const Arguments arguments = parse_arguments(words.subspan(1), key_options);
  const bool adopt = words[0] == "agent";
  if (arguments.positional.size() > (adopt ? 1U : 0U))
    throw UsageError("too many words", "agent-run key show, or key agent [COMMENT]");
  const std::string comment = arguments.positional.empty() ? "" : arguments.positional[0];
  const UsersState users(arguments);
  const std::string& state = users.directory;
  const journal::Key key = adopt ? journal::adopt_identity(state, comment) : journal::load_or_make_identity(state);
  std::printf("%s\n", key.vkey().c_str());
  return 0;
}

}  // namespace agentrun::cli
