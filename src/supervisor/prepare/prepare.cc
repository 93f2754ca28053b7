// Options → profiles → policy → plan. What is refused is refused here, before anything exists.
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include <agentrun/egress.h>
#include <agentrun/journal.h>
#include <agentrun/supervisor.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/file_tree.h>
#include <agentrun/sys/mount_names.h>
#include <agentrun/sys/paths.h>
#include "supervisor/git/git_environment.h"
#include "supervisor/git/git_layout.h"
#include "supervisor/prepare/host_facts.h"
#include "supervisor/prepare/host_paths.h"
#include "supervisor/prepare/inputs.h"
#include "supervisor/prepare/remarks.h"
#include "supervisor/prepare/users_own.h"
#include "supervisor/state/live_runs.h"
#include "supervisor/state/state_search.h"
#include "supervisor/state/written.h"

namespace agentrun::supervisor {

namespace {

using profile::Profile;

std::optional<std::string> environment(const char* name) {
  const char* value = ::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<std::string> canonical(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return std::nullopt;
  return resolved;
}

bool is_folder(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string canonical_folder(const std::string& path, std::string_view what) {
  const auto real = canonical(path);
  if (!real) {
    throw Refusal(std::string(what) + " " + path + ": " + std::string(errno_name(errno)),
                  "name a folder that exists and that you can enter");
  }
  if (!is_folder(*real))
    throw Refusal(std::string(what) + " " + path + " is not a folder", "name a folder that exists");
  if (::access(real->c_str(), R_OK | X_OK) != 0) {
    throw Refusal(std::string(what) + " " + path + " cannot be read: " + std::string(errno_name(errno)),
                  "run agent-run as a user who can read it");
  }
  return *real;
}

// As the shell shows it, links and all, when that is where we are.
std::string current_folder_as_named() {
  struct stat named {
  }, real{};
  const auto shown = environment("PWD");
  const bool plain = shown && shown->starts_with('/') && std::filesystem::path(*shown).lexically_normal() == *shown;
  if (plain && ::stat(shown->c_str(), &named) == 0 && ::stat(".", &real) == 0 && named.st_dev == real.st_dev &&
      named.st_ino == real.st_ino)
    return *shown;
  return canonical(".").value_or("/");
}

// The absolute path by which a person names what is at `real`, links and all; `real` where the words do not lead there
// plainly.
std::string as_named(const std::string& path, const std::string& real) {
  const std::filesystem::path absolute = path.starts_with('/') ? path : current_folder_as_named() + "/" + path;
  if (std::any_of(absolute.begin(), absolute.end(), [](const std::filesystem::path& part) { return part == ".."; }))
    return real;
  std::string named = absolute.lexically_normal().string();
  if (named.size() > 1 && named.ends_with('/')) named.pop_back();
  return canonical(named) == real ? named : real;
}

// What a person names on the command line, or where they start, is not followed through a link that an agent could have
// left.
void refuse_planted_links(HostPaths& host, const WrittenFolders& written, const std::string& path,
                          std::string_view what) {
  const std::string absolute = path.starts_with('/') ? path : current_folder_as_named() + "/" + path;
  const auto target = host.canonical(absolute);
  if (!target) return;  // that the target was once an agent's, too, does not say who made the link
  for (const std::string& folder : host.links(absolute)) {
    if (!written.holds(folder)) continue;
    throw Refusal(std::string(what) + " " + path + " leads through a link in " + folder +
                      ", where an agent could write: it leads to " + *target,
                  path == "." ? "cd -P . if that is meant" : "if that is meant, name " + *target);
  }
}

// --read, --write, --overlay and --allow-host as one more profile of the chain.
Profile command_line_profile(const Options& options, const std::string& workspace, HostPaths& host_paths,
                             const WrittenFolders& written) {
  const profile::Place place{.file = "command line"};
  Profile profile;
  profile.place = place;
  profile.name = "command-line";
  const auto add = [&](const std::vector<std::string>& paths, const char* option, profile::Patterns& to) {
    for (const std::string& path : paths) {
      const auto real = canonical(path);
      if (!real)
        throw Refusal(std::string(option) + " " + path + ": " + std::string(errno_name(errno)),
                      "name something that exists");
      refuse_planted_links(host_paths, written, path, option);
      to.push_back({.value = policy::pattern_of(*real == workspace ? *real : as_named(path, *real)), .place = place});
    }
  };
  add(options.read, "--read", profile.files.read);
  add(options.write, "--write", profile.files.write);
  add(options.overlay, "--overlay", profile.files.overlay);
  for (const std::string& host : options.allow_hosts) {
    if (host.empty()) throw Refusal("--allow-host: empty", "write --allow-host github.com:443");
    profile.network.allow.push_back({.to = host, .by = {}, .tls = {}, .place = place});
  }
  // What its hash is over, so that the journal can tell two command lines apart.
  for (const auto& [key, patterns] :
       {std::pair{"read ", &profile.files.read}, std::pair{"write ", &profile.files.write},
        std::pair{"overlay ", &profile.files.overlay}}) {
    for (const profile::Pattern& pattern : *patterns) profile.text += key + pattern.value + "\n";
  }
  for (const std::string& host : options.allow_hosts) profile.text += "allow-host " + host + "\n";
  for (const std::string& url : options.sinks) {
    profile.sinks.push_back({.value = url, .place = place});
    profile.text += "sink " + url + "\n";
  }
  return profile;
}

// --overlay of the workspace says what the workspace is; of another folder, what is shown beside it.
void make_workspace_overlay(Profile& profile, const std::string& workspace) {
  const auto same = [&](const profile::Pattern& pattern) { return pattern.value == policy::pattern_of(workspace); };
  if (std::erase_if(profile.files.overlay, same) == 0) return;
  profile.workspace.mode = {.value = profile::WorkspaceMode::overlay, .place = profile.place};
}

// By the number that the plan gave each of them.
std::vector<review::Target> overlays_of(const sandbox::Plan& plan) {
  std::vector<review::Target> targets;
  for (const sandbox::MountStep& step : plan.mounts) {
    if (step.kind != sandbox::MountStep::Kind::overlay) continue;
    const auto number = static_cast<std::size_t>(std::stoul(step.layers.substr(step.layers.rfind('/') + 1)));
    targets.resize(std::max(targets.size(), number + 1));
    targets[number] = {.path = step.source, .ino = step.ino};
  }
  return targets;
}

struct Workspace {
  std::string path, named;  // canonical, and as a person names it
};

// The workspace: the option, else the last profile that says one, else the current folder. A relative path starts in
// the current folder.
Workspace workspace_of(const Options& options, const std::vector<Profile>& chain, const Places& places, HostPaths& host,
                       const WrittenFolders& written) {
  std::string path = options.workspace.value_or("");
  for (auto it = chain.rbegin(); path.empty() && it != chain.rend(); ++it) {
    if (it->workspace.path) path = it->workspace.path->value;
  }
  if (path.empty()) path = ".";
  if (path == "~" || path.starts_with("~/")) path = places.home + path.substr(1);
  std::string folder = canonical_folder(path, "workspace");
  refuse_planted_links(host, written, path, "workspace");
  std::string named = as_named(path, folder);
  return {.path = std::move(folder), .named = std::move(named)};
}

// The kernel writes core files as the process that dumps: in its Landlock domain, where only floor-only lets anything
// be written (docs/decisions/003). For a pipe or a socket as its pattern the host reads what a crash of the agent sends
// (core(5)).
void refuse_core_files(const policy::Policy& policy) {
  if (!policy.limits().core) return;
  if (!policy.weakened(policy::Weakening::floor_only))
    throw Refusal("limits.core: the kernel would write core files, and here nothing but the broker writes",
                  "remove limits.core, and use gdb or gcore inside; or weaken: [floor-only]");
  const std::string pattern = try_read_file("/proc/sys/kernel/core_pattern").value_or("|");
  if (pattern.starts_with('|') || pattern.starts_with('@'))
    throw Refusal("limits.core: this host hands core files to a program (kernel.core_pattern)",
                  "remove limits.core, or have root set a file name: sysctl kernel.core_pattern=core");
}

std::vector<PreparedSink> sinks_of(const policy::Policy& policy, const UsersOwn& own, const Places& places) {
  std::vector<PreparedSink> sinks;
  for (const profile::Pattern& url : policy.journal().sinks) {
    try {
      sinks.push_back(prepare_sink(url.value, places));
      refuse_agents_sink(&policy, sinks.back().target, own, places);
    } catch (const Refusal& e) {
      throw Refusal(url.place.text() + ": " + e.what(), e.remedy());
    }
  }
  if (!sinks.empty()) (void)find_sink_program();
  if (sinks.size() > sink::max_sinks) throw Refusal("more than 8 sinks", "a collector can pass records on to others");
  return sinks;
}

// Connections that leave are announced by the broker; sockets of the host are told apart by it.
void refuse_network_without_broker(const policy::Policy& policy) {
  if (!policy.weakened(policy::Weakening::floor_only) || (!policy.has_egress() && policy.sockets().empty())) return;
  throw Refusal("weaken: [floor-only] leaves nobody to keep what network and sockets allow",
                "take network.allow, network.publish and sockets out of the profile, or the weakening");
}

// A profile that is named by a relative path is that path below the current folder, links and all.
std::string profile_argument(const std::string& name) {
  const bool is_path = name.find('/') != std::string::npos || name.ends_with(".yaml");
  if (!is_path || name.starts_with('/')) return name;
  const std::string folder = canonical(".").value_or("");
  std::filesystem::path path = std::filesystem::path(folder) / name;
  return path.lexically_normal().string();
}

std::string current_folder(const policy::Policy& policy) {
  char path[PATH_MAX];
  // Removed, or out of this process's root (getcwd(3)): then it is where the workspace is.
  if (::getcwd(path, sizeof path) == nullptr || path[0] != '/') return policy.workspace();
  if (policy.decide(policy::Right::read, path).act == policy::Act::allow && within(path, policy.workspace()))
    return path;
  return policy.workspace();
}

// Its descriptors are the terminal, and it is of the job in the foreground: keys are for it.
bool is_interactive() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
}

// One of the standard descriptors is one, or one controls this process: the command could open /dev/tty outside.
bool has_terminal() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::isatty(fd) == 1) return true;
  return static_cast<bool>(Fd(::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)));
}

// A folder as standard input, output or error would be a way round the view (openat beside it).
void refuse_folders_as_standard_files() {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat st {};
    if (::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
      throw Refusal("descriptor " + std::to_string(fd) + " is a folder", "redirect it to a file or to /dev/null");
    }
  }
}

// Nor a socket of the host's network that could send where it likes: a datagram socket, or one that is not connected. A
// stream that is connected stays what it is; connect(2), which could undo that, is the broker's.
void refuse_free_sockets_as_standard_files() {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat st {};
    if (::fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) continue;
    int type = 0;
    socklen_t size = sizeof type;
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const bool stream =
        ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
    if (!stream || ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
      throw Refusal("descriptor " + std::to_string(fd) + " is a socket of the host that could be used to send anywhere",
                    "redirect it to a file, a pipe or to /dev/null");
    }
  }
}

}  // namespace

// The files that git reads besides those of a repository: git-config(1), FILES and ENVIRONMENT.
std::vector<std::string> git_settings_of_user(const Places& places) {
  const std::string config = environment("XDG_CONFIG_HOME").value_or(places.home + "/.config");
  std::vector<std::string> files = {environment("GIT_CONFIG_SYSTEM").value_or("/etc/gitconfig")};
  if (const auto global = environment("GIT_CONFIG_GLOBAL")) files.push_back(*global);
  files.push_back(places.home + "/.gitconfig");
  files.push_back(config + "/git/config");
  std::erase_if(files, [](const std::string& file) { return !file.starts_with('/'); });
  return files;
}

std::map<std::string, std::string> environment_map() {
  std::map<std::string, std::string> map;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0) map.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return map;
}

namespace {

// Of one's own and of other runs' state directories those that may be there and within the command's reach: they hold
// keys, and what runs changed in overlays. Also what runs that are going on keep elsewhere, in sinks.
std::vector<std::string> states_to_hide(const std::vector<std::string>& states, const WrittenFolders& elsewhere) {
  std::vector<std::string> hidden = states;
  const auto add = [&](const std::string& path) {
    if (::access(path.c_str(), F_OK) == 0 || errno != ENOENT) hidden.push_back(path);
  };
  for (const Remembered& state : elsewhere.folders()) add(state.path);
  for (const LiveView& run : read_live_runs(states)) {
    for (const LiveView::Place& place : run.own) add(place.path);
  }
  std::ranges::sort(hidden);
  hidden.erase(std::unique(hidden.begin(), hidden.end()), hidden.end());
  std::erase_if(hidden, [](const std::string& path) { return !HostPaths::may_reach(path); });
  return hidden;
}

// With the other names that mounts give them, or parts of them.
std::vector<std::string> with_mounts(const std::vector<std::string>& paths, const MountNames& mounts) {
  std::vector<std::string> all = paths;
  if (mounts.empty()) return all;
  for (const std::string& path : paths) {
    for (std::string& name : mounts.with_parts(canonical(path).value_or(path))) {
      if (std::ranges::find(all, name) == all.end()) all.push_back(std::move(name));
    }
  }
  return all;
}

std::vector<std::string> canonical_all(std::vector<std::string> paths) {
  for (std::string& path : paths) path = canonical(path).value_or(path);
  return paths;
}

// Every start waits for this search: about 0.3 ms a 1,000 names.
constexpr std::size_t max_names_searched = 3'000;

void refuse_hidden_workspace(const policy::Policy& policy, const std::vector<std::string>& found) {
  for (const std::string& state : found) {
    if (within(policy.workspace(), state))
      throw Refusal(
          "workspace " + policy.workspace() + " lies in " + state +
              ", which holds an identity of agent-run (identity.key or identity.vkey)",
          "choose another workspace with -w; or, if that is no state directory of yours, remove these files from it");
  }
}

// Who shows the whole host cannot keep it elsewhere.
void add_remarks(Remarks& remarks, const policy::Policy& policy, const std::vector<std::string>& found) {
  if (policy.weakened(policy::Weakening::host_root)) return;
  for (const std::string& state : found)
    remarks.sentences.push_back(state +
                                " is hidden: it holds an identity of agent-run (identity.key or identity.vkey), keep "
                                "it outside of what is granted");
}

// What cannot be kept whole is refused, unless the profile says that less will do.
sandbox::LimitsPlan limits_of(const policy::Policy& policy) {
  const auto& limits = policy.limits();
  auto plan = sandbox::plan_limits_here({.memory = limits.memory, .tasks = limits.tasks, .cpus = limits.cpus},
                                        receiver_count() + 2);  // its main thread, and the one that binds
  if (policy.weakened(policy::Weakening::limits)) return plan;
  for (const sandbox::KeptLimit& kept : plan.kept) {
    if (!kept.weaker()) continue;
    const bool in_part = kept.keeper == sandbox::KeptLimit::Keeper::each_process;
    throw Refusal("limits." + kept.name + " cannot be kept here: " + kept.lacks,
                  kept.remedy + "; or add `weaken: [limits]` to the profile: then " +
                      (in_part ? "it bounds each process, not all together" : "nothing keeps it"));
  }
  return plan;
}

}  // namespace

unsigned receiver_count() {
  return std::clamp(std::thread::hardware_concurrency(), 2U, 8U);
}

namespace {
// In a user namespace uid 0 is somebody else, to whom root's home does not belong.
std::string account_state() {
  const passwd* const entry = ::getpwuid(::getuid());
  struct stat st {};
  if (entry == nullptr || entry->pw_dir == nullptr || entry->pw_dir[0] != '/') return {};
  if (::stat(entry->pw_dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != ::getuid()) return {};
  return std::filesystem::path(entry->pw_dir).lexically_normal() / ".local/state/agent-run";
}
}  // namespace

Places find_places() {
  Places places;
  places.home = environment("HOME").value_or("");
  if (!places.home.starts_with('/')) {
    const passwd* entry = ::getpwuid(::getuid());
    places.home = entry != nullptr && entry->pw_dir != nullptr ? entry->pw_dir : "/";
  }
  // The XDG base directory specification: relative values are invalid and to be ignored.
  const auto base = [&](const char* variable, const char* fallback) {
    const auto value = environment(variable);
    return (value && value->starts_with('/') ? *value : places.home + fallback) + "/agent-run";
  };
  places.user_profiles = base("XDG_CONFIG_HOME", "/.config") + "/profiles";
  places.state = base("XDG_STATE_HOME", "/.local/state");
  places.usual_profiles = places.home + "/.config/agent-run/profiles";
  places.usual_state = places.home + "/.local/state/agent-run";
  places.account_state = account_state();
  return places;
}

std::string state_directory_of(const Options& options, const Places& places) {
  const std::string state = options.state_directory.value_or(places.state);
  if (state.starts_with('/')) return state;
  return canonical(".").value_or("") + "/" + state;
}

Prepared prepare(const Options& options, const Places& places) {
  std::vector<Profile> chain;
  for (const std::string& name : options.profiles) {
    for (Profile& profile : profile::Loader(places.user_profiles).load(profile_argument(name)))
      chain.push_back(std::move(profile));
  }
  const std::string state = state_directory_of(options, places);
  const std::vector<std::string> states = state_directories(state, places);
  const std::vector<std::string> in_which_written = written_directories(state, places);
  const WrittenFolders written(in_which_written);
  HostPaths host;
  const WrittenFolders elsewhere(states, Memory::states);
  const MountNames mounts = read_mount_names();
  std::vector<std::string> hidden = with_mounts(states_to_hide(states, elsewhere), mounts);
  const std::vector<std::string> usual = {std::string(parent_of(places.usual_profiles))};
  const UsersOwn users_own(host, written, usual);
  refuse_agents_state(state, host, places);
  refuse_agents_profiles(chain, users_own, places);
  HostTree tree;
  const auto [workspace, workspace_named] = workspace_of(options, chain, places, host, written);
  chain.push_back(command_line_profile(options, workspace, host, written));
  make_workspace_overlay(chain.back(), workspace);
  for (Profile& profile : chain) profile.sha256 = journal::hex(journal::sha256(profile.text));

  GitLayout git(host, canonical(places.home).value_or(places.home), git_settings_of_user(places),
                git_settings_of_environment(environment_map()));
  policy::HostFacts facts{
      .home = canonical(places.home).value_or(places.home),
      .workspace = workspace,
      .home_named = places.home,
      .workspace_named = workspace_named,
      .environment = environment_map(),
      .canonical = [&](const std::string& path) { return host.canonical(path); },
      .entries = [&](const std::string& folder) { return host.entries(folder); },
      .scan = HostPaths::scan,
      .is_folder = is_folder,
      .links = [&](const std::string& path) { return host.links(path); },
      .agent_could_write = [&](const std::string& path) { return written.holds(path); },
      .git = [&](const std::vector<std::string>& writable) { return git.look(writable); },
      .tree = &tree,
      .own = with_mounts(own_paths(places, hidden), mounts),
  };
  policy::Policy policy = policy::compile(chain, facts);
  sandbox::LimitsPlan limits = limits_of(policy);
  const std::vector<std::string> found = find_states(policy, canonical_all(hidden), elsewhere, max_names_searched);
  refuse_hidden_workspace(policy, found);
  std::vector<std::string> guarded = found;
  // Its files are this user's: who reaches them can raise a limit, or leave the group.
  if (!limits.hierarchy.empty()) guarded.push_back(limits.hierarchy);
  guarded = with_mounts(guarded, mounts);
  hidden.insert(hidden.end(), guarded.begin(), guarded.end());
  facts.own.insert(facts.own.end(), guarded.begin(), guarded.end());
  const auto reaches = [&](const policy::Grant& grant) {
    return policy::changes_host(grant.access) &&
           std::ranges::any_of(guarded, [&](const std::string& path) { return within(path, grant.path); });
  };
  if (std::ranges::any_of(policy.view(), reaches)) policy = policy::compile(chain, facts);
  refuse_unkept(policy, facts.own);
  refuse_writable_profiles(policy, facts.own, host);
  refuse_core_files(policy);
  refuse_network_without_broker(policy);
  refuse_folders_as_standard_files();
  refuse_free_sockets_as_standard_files();
  std::vector<PreparedSink> sinks = sinks_of(policy, users_own, places);

  if (options.state_directory) refuse_reachable_state(policy, state);
  const std::string run = journal::new_run_id();
  hidden = canonical_all(hidden);
  const sandbox::Launch launch{
      .argv = options.argv,
      .cwd = current_folder(policy),
      .home = facts.home,
      .uid = ::getuid(),
      .gid = ::getgid(),
      .umask = options.inherited.umask,
      .inherited = options.inherited,
      .terminal = has_terminal(),  // decision 008
      .terminal_held_back = !is_interactive(),
      .ruleset = egress::ruleset_of(policy),
      .hidden = hidden,
      .overlays = canonical(state).value_or(state) + "/overlays/" + run,
  };
  sandbox::Plan plan = sandbox::lower(policy, sandbox::RealHost(), launch);
  const profile::Reads reads = policy.reads_kept();
  plan.limits = std::move(limits);
  std::vector<review::Target> overlays = overlays_of(plan);
  Remarks remarks = remarks_of(policy, plan);
  add_remarks(remarks, policy, found);
  for (const std::string& setting : git.unfollowed())
    remarks.sentences.push_back(
        setting + " is for a shell to expand: the programs that it names are not guarded; write the path itself");
  return {.policy = std::move(policy),
          .plan = std::move(plan),
          .reads = reads,
          .state_directory = state,
          .other_states = {states.begin() + 1, states.end()},
          .written_directories = in_which_written,
          .run = run,
          .overlays = std::move(overlays),
          .hidden = std::move(hidden),
          .sinks = std::move(sinks),
          .remarks = std::move(remarks)};
}

}  // namespace agentrun::supervisor
