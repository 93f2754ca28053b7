// Which names of decided calls are worth a line at the end of the run.
#include "broker/traces.h"

#include <algorithm>
#include <array>
#include <optional>

#include <agentrun/sys/paths.h>
#include "broker/recorder.h"

namespace agentrun::broker {

namespace {

constexpr std::size_t max_found = 64;

struct Named {
  std::string_view name;
  Trace kind;
};
constexpr std::array<Named, 21> names = {{
    {".git", Trace::repository}, {"HEAD", Trace::bare_repository}, {"git-rebase-todo", Trace::rebase}, {"index", Trace::index},
    {"strategy", Trace::rebase}, {"opts", Trace::rebase},
    {"AGENTS.md", Trace::instructions}, {"AGENTS.override.md", Trace::instructions}, {"AGENT.md", Trace::instructions},
    {"CLAUDE.md", Trace::instructions}, {"CLAUDE.local.md", Trace::instructions}, {"GEMINI.md", Trace::instructions},
    {"QWEN.md", Trace::instructions}, {"CRUSH.md", Trace::instructions}, {"WARP.md", Trace::instructions},
    {".cursorrules", Trace::instructions}, {".windsurfrules", Trace::instructions}, {".clinerules", Trace::instructions},
    {".roorules", Trace::instructions}, {".goosehints", Trace::instructions}, {"copilot-instructions.md", Trace::instructions},
}};

// Files of directories in which git keeps work that is in progress. They name a merge strategy, and git executes git-merge-STRATEGY, also
// from the work tree when there is a slash in it.
struct InProgress {
  std::string_view directory, file;
};
constexpr std::array<InProgress, 2> in_progress = {{{"rebase-merge", "strategy"}, {"sequencer", "opts"}}};

constexpr std::array<std::string_view, 9> trace_names = {"repository", "bare-repository", "rebase", "index", "instructions",
                                                         "not-updated", "worktree", "executes", "more"};

bool is_in_repository(std::string_view path) { return path.find("/.git/") != std::string_view::npos; }

// Whether the name says it where it stands.
bool counts(Trace kind, std::string_view path) {
  switch (kind) {
    case Trace::bare_repository: return !is_in_repository(path);
    case Trace::index: return path.ends_with("/.git/index");
    case Trace::rebase:
      return name_of(path) == "git-rebase-todo" || std::ranges::any_of(in_progress, [&](const InProgress& each) {
               return name_of(path) == each.file && name_of(parent_of(path)) == each.directory;
             });
    // Packages bring theirs, by the hundred.
    case Trace::instructions: return path.find("/node_modules/") == path.npos && path.find("/site-packages/") == path.npos;
    default: return true;
  }
}

std::optional<Trace> kind_of(std::string_view path) {
  const std::string_view name = name_of(path);
  const auto* const found = std::ranges::find(names, name, &Named::name);
  if (found != names.end() && counts(found->kind, path)) return found->kind;
  return std::nullopt;
}

// The file of such a directory, when this is the name of one: it may come with the directory, under a name that said nothing.
std::string file_within(const std::string& path) {
  const auto* const found = std::ranges::find(in_progress, name_of(path), &InProgress::directory);
  return found == in_progress.end() ? std::string() : path + "/" + std::string(found->file);
}

bool is_refused_to_git(const Case& c) {
  return c.verdict.act == policy::Act::deny && c.verdict.rule != nullptr && c.task.comm == "git" && !c.path.empty();
}

// Is it a rule for what git keeps in a repository's directory, by whatever name that stands?
bool is_of_repository(std::string_view pattern) {
  return pattern.starts_with("${git}/") || pattern.find(".git/") != pattern.npos || pattern.find(".git}") != pattern.npos ||
         pattern.find(".bare") != pattern.npos || pattern.ends_with(".git") || pattern.ends_with("/HEAD");
}

// git says that it could not, and exits 0: git-switch, git-checkout and git-stash of a branch that has such a file otherwise.
bool is_refused_checkout(const Case& c) {
  return !is_in_repository(c.path) && name_of(c.path) != ".git" && !is_of_repository(c.verdict.rule->pattern);
}

// The directory of a linked worktree that git-worktree(1), remove or prune, may not empty; "" when it is something else.
std::string refused_worktree(const Case& c) {
  const std::string directory(parent_of(c.path));
  return name_of(c.path) == "commondir" && name_of(parent_of(directory)) == "worktrees" ? directory : std::string();
}

}  // namespace

std::string_view name(Trace trace) noexcept { return trace_names[static_cast<std::size_t>(trace)]; }

std::optional<Trace> trace_of(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(trace_names, name);
  if (found == trace_names.end()) return std::nullopt;
  return static_cast<Trace>(found - trace_names.begin());
}

void Traces::add(Trace kind, const std::string& path) {
  if (found_.contains({kind, path})) return;
  if (found_.size() < max_found) found_.emplace(kind, path);
  else found_.emplace(Trace::more, std::string());
}

// What was found moves with the directory that it is in.
void Traces::follow_rename(const std::string& from, const std::string& to) {
  const Found before = found_;
  for (const auto& [kind, path] : before)
    if (within(path, from)) add(kind, to + path.substr(from.size()));
}

void Traces::note(const Case& c) {
  if (c.right != policy::Right::change || c.destination) return;
  if (c.verdict.act != policy::Act::allow) {
    if (!is_refused_to_git(c)) return;
    const std::string worktree = refused_worktree(c);
    if (worktree.empty() && !is_refused_checkout(c)) return;
    const std::scoped_lock lock(mutex_);
    return worktree.empty() ? add(Trace::not_updated, c.path) : add(Trace::worktree, worktree);
  }
  const auto first = kind_of(c.path), second = kind_of(c.to);
  const std::string below_first = file_within(c.path), below_second = file_within(c.to);
  if (!first && !second && c.to.empty() && below_first.empty()) return;
  const std::scoped_lock lock(mutex_);
  for (const std::string& below : {below_first, below_second})
    if (!below.empty()) add(Trace::rebase, below);
  if (first) add(*first, c.path);
  if (second) add(*second, c.to);
  if (!c.to.empty()) follow_rename(c.path, c.to);
}

}  // namespace agentrun::broker
