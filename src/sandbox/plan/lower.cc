// Policy → Plan. Pure but for the Host, which is only asked.
#include <agentrun/sandbox.h>
#include <agentrun/sys/paths.h>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <deque>

#include "sandbox/mounts/devices.h"

namespace agentrun::sandbox {

namespace {

using Kind = MountStep::Kind;

constexpr int max_links = 40;  // path_resolution(7)
constexpr std::string_view shared_memory = "/dev/shm";

/// Where a path leads, and the symbolic links on the way.
struct Walk {
  std::string path;
  Entry entry;
  std::vector<std::pair<std::string, std::string>> links;  // where the link stands, its text
};

void push_front(std::deque<std::string>& pending, std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    begin = end + 1;
  }
  pending.insert(pending.begin(), parts.begin(), parts.end());
}

std::string below(const std::string& directory, std::string_view name) {
  return (directory == "/" ? "/" : directory + "/").append(name);
}

Walk walk(const Host& host, const std::string& path) {
  Walk result{.path = "/", .entry = {.kind = Entry::Kind::directory}, .links = {}};
  std::deque<std::string> pending;
  push_front(pending, path);
  while (!pending.empty()) {
    const std::string part = std::move(pending.front());
    pending.pop_front();
    if (part == "..") {
      result.path = std::string(parent_of(result.path));
      continue;
    }
    const std::string next = below(result.path, part);
    result.entry = host.look(next);
    if (result.entry.kind != Entry::Kind::symlink) {
      result.path = next;
      continue;
    }
    if (result.links.size() == max_links)
      throw Refusal(path + ": too many symbolic links", "name the place that they lead to");
    result.links.emplace_back(next, result.entry.link);
    if (result.entry.link.starts_with('/')) result.path = "/";
    push_front(pending, result.entry.link);
  }
  result.entry = host.look(result.path);
  return result;
}

/// Collects the steps by target: a place of the view is made by exactly one step.
class Lowering {
 public:
  Lowering(const policy::Policy& policy, const Host& host, const Launch& launch)
      : policy_(policy), host_(host), launch_(launch) {
    add({.kind = Kind::root, .target = "/"});
    add({.kind = Kind::proc, .target = "/proc", .no_exec = !policy_.memory_files_execute()});
    add({.kind = Kind::dev, .target = "/dev"});
  }

  void collect_denied() {
    for (const std::span<const std::string> paths : {policy_.masks(), std::span<const std::string>(launch_.hidden)})
      for (const std::string& path : paths) {
        denied_.push_back(path);
        if (const Walk end = walk(host_, path); end.path != path) denied_.push_back(end.path);
      }
  }

  void show_home() {
    if (!launch_.home.starts_with('/') || launch_.home == "/") return;
    for (const policy::Grant& grant : policy_.view()) {
      const bool bound = grant.access != policy::Grant::Access::scratch;
      if (grant.path == launch_.home || (bound && within(launch_.home, grant.path))) return;
    }
    show_scratch(launch_.home, 0700);
  }

  void show_grants() {
    std::vector<const policy::Grant*> grants;
    for (const policy::Grant& grant : policy_.view()) grants.push_back(&grant);
    std::ranges::stable_sort(grants, {}, [](const policy::Grant* grant) { return depth_of(grant->path); });
    for (const policy::Grant* grant : grants) show(*grant);
  }

  /// Sockets of the host, each at its own path and by its inode. One that a directory shows already is there.
  void show_sockets() {
    for (const policy::Policy::SocketGrant& grant : policy_.sockets()) {
      if (reserved(grant.path) || denied(grant.path) || steps_.contains(grant.path)) continue;
      const Entry entry = host_.look(grant.path);
      if (entry.kind == Entry::Kind::absent) continue;  // nothing listens: inside, too
      if (entry.kind != Entry::Kind::socket)
        throw Refusal(grant.path + ": not a socket", "name the socket itself in `sockets`, and files in files.read");
      if (is_bound(mount_above(grant.path))) continue;
      add({.kind = Kind::bind,
           .source = grant.path,
           .target = grant.path,
           .read_only = true,
           .no_exec = true,
           .dev = entry.dev,
           .ino = entry.ino});
    }
  }

  /// The names by which a grant was written lead to it also inside, through the same links.
  void show_links() {
    for (const policy::Grant& grant : policy_.view()) {
      const bool scratch = grant.access == policy::Grant::Access::scratch && steps_.contains(grant.path);
      if (grant.written.empty() || grant.written == grant.path || !(scratch || shown(grant.path))) continue;
      for (const auto& [place, text] : walk(host_, grant.written).links) {
        const Kind stands_on = mount_above(place).kind;
        const bool in_memory = within(place, shared_memory) && place != shared_memory;
        if (stands_on != Kind::root && stands_on != Kind::tmpfs && !in_memory) continue;
        if (is_bound(mount_above(place)) || denied(place) || steps_.contains(place)) continue;
        add({.kind = Kind::symlink, .source = text, .target = place, .mode = 0777});
      }
    }
  }

  void show_text(const std::string& target, const std::string& text) {
    if (denied(target) || steps_.contains(target) || is_bound(mount_above(target))) return;
    add({.kind = Kind::text_file, .source = text.ends_with('\n') ? text : text + '\n', .target = target, .mode = 0444});
  }

  /// Whatever the host has there, and wherever a link leads.
  void insist_on_text(std::string_view path, std::string_view text) {
    const Walk end = walk(host_, std::string(path));
    for (const std::string& target : {std::string(path), end.path}) {
      if (const auto found = steps_.find(target);
          found != steps_.end() && (found->second.kind == Kind::bind || found->second.kind == Kind::symlink))
        steps_.erase(found);
      if (!is_bound(mount_above(target))) continue;
      if (target != end.path || end.entry.kind != Entry::Kind::file || denied(target)) continue;
      add({.kind = Kind::text_over,
           .source = std::string(text),
           .target = target,
           .read_only = true,
           .no_exec = true,
           .mode = 0444});
    }
    show_text(std::string(path), std::string(text));
  }

  void hide() {
    for (const std::string& path : denied_) {
      const Entry entry = host_.look(path);
      const bool there = entry.kind != Entry::Kind::absent && entry.kind != Entry::Kind::symlink;
      if (!there || path == "/" || !is_bound(mount_above(path))) continue;
      bool covered = false;
      for (const std::string& other : denied_) covered = covered || (other != path && within(path, other));
      if (covered) continue;
      // overlayfs has numbers of its own: there is nothing to compare with.
      const bool known = mount_above(path).kind != Kind::overlay;
      add({.kind = Kind::mask, .target = path, .mode = 0, .dev = known ? entry.dev : 0, .ino = known ? entry.ino : 0});
    }
  }

  /// What lies between the root and a step, on file systems of our own.
  void add_directories() {
    std::vector<std::string> targets;
    for (const auto& [target, step] : steps_) targets.push_back(target);
    for (const std::string& target : targets)
      for (std::string_view up = parent_of(target); up != "/"; up = parent_of(up)) {
        const std::string directory(up);
        if (directory == shared_memory) continue;  // made with /dev
        const auto found = steps_.find(directory);
        if (found != steps_.end() && (found->second.kind == Kind::symlink || found->second.kind == Kind::text_file))
          throw Refusal(directory + ": changed while agent-run looked at it", "start again");
        if (found != steps_.end() || is_bound(mount_above(directory)) || mount_above(directory).kind == Kind::proc)
          continue;
        add({.kind = Kind::directory, .target = directory});
      }
  }

  void require_workspace() const {
    const std::string& workspace = policy_.workspace();
    if (!workspace.empty() && host_.look(workspace).kind != Entry::Kind::directory)
      throw Refusal("workspace " + workspace + ": no such directory", "make it, or choose another with -w");
    if (!exists(launch_.cwd))
      throw Refusal("working directory " + launch_.cwd + ": the profile does not show it",
                    "start in the workspace, choose another one with -w, or add it to files.read");
  }

  /// True when the path will be there inside: bound and on the host, or made by a step.
  [[nodiscard]] bool exists(const std::string& path) const {
    if (denied(path)) return false;
    if (const auto found = steps_.find(path); found != steps_.end()) return found->second.kind != Kind::symlink;
    if (!is_bound(mount_above(path))) return false;
    const Entry::Kind kind = host_.look(path).kind;
    return kind != Entry::Kind::absent && kind != Entry::Kind::symlink;
  }

  [[nodiscard]] std::vector<MountStep> ordered() const {
    std::vector<MountStep> steps;
    for (const auto& [target, step] : steps_) steps.push_back(step);
    // Of one depth /dev comes first: it holds what masks are made of.
    std::ranges::stable_sort(
        steps, {}, [](const MountStep& step) { return std::pair(depth_of(step.target), step.kind != Kind::dev); });
    return steps;
  }

  [[nodiscard]] std::vector<LandlockStep> landlock() const {
    std::map<std::string, LandlockStep> rules;
    const auto rule = [&rules](const std::string& path) -> LandlockStep& {
      LandlockStep& step = rules[path];
      step.path = path;
      return step;
    };
    // Whatever is in the view may be read, and nothing else is below "/": one rule says as much as one a mount.
    rule("/").read = true;
    rule("/").change = policy_.weakened(policy::Weakening::floor_only);
    for (const auto& [target, step] : steps_) {
      if (step.kind != Kind::dev) continue;
      rule(target).read = true;           // and ioctl
      rule(target + "/pts").read = true;  // and write: landlock.cc
    }
    for (const std::string& path : policy_.exec_roots())
      if (path == "/" || exists(path)) rule(path).execute = true;
    std::vector<LandlockStep> list;
    for (auto& [path, step] : rules) list.push_back(std::move(step));
    return list;
  }

 private:
  static bool is_bound(const MountStep& step) {
    return step.kind == Kind::bind || step.kind == Kind::overlay || (step.kind == Kind::root && !step.source.empty());
  }

  void add(MountStep step) { steps_.insert_or_assign(step.target, std::move(step)); }

  /// The mount that a path strictly below it would stand on.
  [[nodiscard]] const MountStep& mount_above(std::string_view path) const {
    for (std::string_view up = parent_of(path); up != "/"; up = parent_of(up)) {
      const auto found = steps_.find(std::string(up));
      if (found == steps_.end()) continue;
      const Kind kind = found->second.kind;
      if (kind != Kind::directory && kind != Kind::symlink && kind != Kind::text_file) return found->second;
    }
    return steps_.find("/")->second;
  }

  [[nodiscard]] bool denied(std::string_view path) const {
    return std::ranges::any_of(denied_, [&](const std::string& root) { return within(path, root); });
  }

  [[nodiscard]] bool shown(const std::string& path) const {
    const auto found = steps_.find(path);
    return found != steps_.end() ? is_bound(found->second) : !denied(path) && is_bound(mount_above(path));
  }

  /// /proc and the nodes of /dev are the sandbox's own, whatever a profile says. Below /dev/shm the host's can be
  /// shown.
  static bool reserved(std::string_view path) {
    if (within(path, "/proc") || path == "/dev") return true;
    if (!within(path, "/dev") || (within(path, shared_memory) && path != shared_memory)) return false;
    const std::string_view rest = path.substr(std::string_view("/dev/").size());
    return is_own_device(rest.substr(0, rest.find('/')));
  }

  void show_scratch(const std::string& path, unsigned mode) {
    if (reserved(path) || denied(path) || steps_.contains(path)) return;
    if (is_bound(mount_above(path)) && host_.look(path).kind != Entry::Kind::directory) return;
    add({.kind = Kind::tmpfs, .target = path, .no_exec = policy_.writable_noexec(), .mode = mode});
  }

  void show(const policy::Grant& grant) {
    if (grant.access == policy::Grant::Access::scratch) {
      show_scratch(grant.path, grant.path == launch_.home ? 0700 : 01777);
      return;
    }
    if (reserved(grant.path) || denied(grant.path)) return;
    const Entry entry = host_.look(grant.path);
    if (entry.kind == Entry::Kind::absent) return;
    if (entry.kind == Entry::Kind::symlink)
      throw Refusal(grant.path + ": became a symbolic link while agent-run looked at it", "start again");
    const bool read_only = grant.access == policy::Grant::Access::read;
    const bool overlay = grant.access == policy::Grant::Access::overlay;
    MountStep step{.kind = grant.path == "/" ? Kind::root
                           : overlay         ? Kind::overlay
                                             : Kind::bind,
                   .source = grant.path,
                   .target = grant.path,
                   .read_only = read_only,
                   .no_exec = !read_only && policy_.writable_noexec(),
                   .dev = entry.dev,
                   .ino = entry.ino};
    const MountStep& above = mount_above(grant.path);
    const bool same = is_bound(above) && (above.kind == Kind::overlay) == overlay &&
                      above.read_only == step.read_only && above.no_exec == step.no_exec;
    if (same && grant.path != "/") return;
    if (overlay) {
      require_overlay_possible(grant.path);
      step.overlay = overlays_++;
      step.layers = below(launch_.overlays, std::to_string(step.overlay));
    }
    add(std::move(step));
  }

  void require_overlay_possible(const std::string& target) const {
    if (target == "/")
      throw Refusal("/ as an overlay: agent-run keeps the changes below it", "name the directories that are meant");
    if (within(launch_.overlays, target))
      throw Refusal(target + " as an overlay: agent-run keeps the changes below it, in " + launch_.overlays,
                    "name a directory that does not hold it, or choose another place with --journal");
  }

  const policy::Policy& policy_;
  const Host& host_;
  const Launch& launch_;
  std::map<std::string, MountStep> steps_;
  std::size_t overlays_ = 0;
  std::vector<std::string> denied_;
};

// RFC 6761 §6.3: the names that mean this host, and its own name, on lines of their own so that it is its canonical one
// (hosts(5)): Java and many servers do not start where their host's name has no address. The resolver is a stub on the
// sandbox's own loopback.
// What the host has in their place leads to name services that the sandbox does not have (nsswitch.conf(5)).
constexpr std::string_view nsswitch_path = "/etc/nsswitch.conf";
std::array<std::pair<std::string_view, std::string>, 3> name_service_texts(const std::string& hostname) {
  return {{{"/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 " + hostname +
                              "\n::1 localhost ip6-localhost ip6-loopback\n::1 " + hostname + "\n"},
           {"/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"},
           {nsswitch_path,
            "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"}}};
}

filter::Variant variant_of(const policy::Policy& policy) {
  if (policy.weakened(policy::Weakening::floor_only)) return filter::Variant::agent_floor_only;
  const bool off = policy.reads_kept() == profile::Reads::off;
  if (policy.memory_files_execute())
    return off ? filter::Variant::agent_reads_off_memfd : filter::Variant::agent_reads_trapped_memfd;
  return off ? filter::Variant::agent_reads_off : filter::Variant::agent_reads_trapped;
}

}  // namespace

Entry RealHost::look(const std::string& path) const {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return {};
  Entry entry{.kind = Entry::Kind::other, .link = {}, .dev = st.st_dev, .ino = st.st_ino};
  if (S_ISDIR(st.st_mode)) entry.kind = Entry::Kind::directory;
  if (S_ISREG(st.st_mode)) entry.kind = Entry::Kind::file;
  if (S_ISSOCK(st.st_mode)) entry.kind = Entry::Kind::socket;
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> text{};
    const ssize_t n = ::readlink(path.c_str(), text.data(), text.size());
    if (n <= 0) return {};
    entry.kind = Entry::Kind::symlink;
    entry.link.assign(text.data(), static_cast<std::size_t>(n));
  }
  return entry;
}

Plan lower(const policy::Policy& policy, const Host& host, const Launch& launch) {
  if (launch.argv.empty()) throw Refusal("no command", "write it after --");
  if (launch.argv.front().empty())
    throw Refusal("the command is an empty word", "write a program's name or path after --");
  Lowering lowering(policy, host, launch);
  lowering.collect_denied();
  lowering.show_home();
  lowering.show_grants();
  lowering.show_sockets();
  lowering.show_links();
  const bool egress = policy.has_egress();
  Plan plan;
  for (const auto& [path, text] : name_service_texts(plan.hostname)) {
    if (egress)
      lowering.insist_on_text(path, text);
    else if (path != nsswitch_path)
      lowering.show_text(std::string(path), text);
  }
  if (launch.passwd_line) lowering.show_text("/etc/passwd", *launch.passwd_line);
  if (launch.group_line) lowering.show_text("/etc/group", *launch.group_line);
  lowering.hide();
  lowering.add_directories();
  lowering.require_workspace();

  plan.uid = launch.uid;
  plan.gid = launch.gid;
  plan.mounts = lowering.ordered();
  plan.landlock = lowering.landlock();
  plan.ruleset = launch.ruleset;
  plan.argv = launch.argv;
  plan.environment = policy.environment();
  plan.cwd = launch.cwd;
  plan.filter = variant_of(policy);
  plan.umask = launch.umask;
  plan.inherited = launch.inherited;
  plan.open_files = policy.limits().open_files;
  plan.core_size = policy.limits().core.value_or(0);
  plan.wall_seconds = policy.limits().wall_seconds;
  plan.terminal = launch.terminal;
  plan.terminal_held_back = launch.terminal_held_back;
  plan.egress = policy.has_egress();
  return plan;
}

}  // namespace agentrun::sandbox
