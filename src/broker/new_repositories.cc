#include "broker/new_repositories.h"

#include <algorithm>
#include <optional>
#include <set>

#include <agentrun/policy/git_config.h>
#include <agentrun/sys/paths.h>

namespace agentrun::broker {

namespace {

using Kind = TreeNode::Kind;

constexpr std::size_t max_path = 4096;
constexpr std::size_t max_settings = 1U << 20;
constexpr std::size_t max_told = 6;   // programs of one repository
constexpr std::size_t max_word = 60;  // bytes of a key, whose middle is any text
constexpr int max_names = 1000;       // of a directory of hooks

std::optional<std::string> path_in(Tree& tree, const std::string& file, std::string_view begins, const std::string& base) {
  auto text = tree.content(file, begins.size() + max_path);
  if (!text || !text->starts_with(begins)) return std::nullopt;
  text->erase(0, begins.size());
  text->erase(text->find_last_not_of("\r\n") + 1);
  if (text->empty() || text->find('\0') != std::string::npos) return std::nullopt;
  return text->starts_with('/') ? *text : base + "/" + *text;
}

// As git makes it, at the repository that it names: any other .git file may lead to settings of the command's own.
bool is_worktree_of_known(const Traces::Found& found, Tree& tree, const std::string& directory) {
  const std::string worktrees(parent_of(directory)), repository(parent_of(worktrees));
  if (name_of(worktrees) != "worktrees" || name_of(repository) != ".git" || directory.find("/../") != std::string::npos) return false;
  if (found.contains({Trace::repository, repository}) || found.contains({Trace::bare_repository, repository + "/HEAD"})) return false;
  if (found.contains({Trace::more, std::string()})) return false;  // it may be among what was not noted
  if (tree.look(repository).kind != Kind::directory || tree.look(directory).kind != Kind::directory) return false;
  return tree.content(directory + "/commondir", max_path) == "../..\n" && tree.look(directory + "/config.worktree").kind == Kind::absent;
}

// What git would execute by the settings and the hooks of this directory, in few words; empty: nothing.
std::string programs_of(Tree& tree, const std::string& directory) {
  const std::string common = path_in(tree, directory + "/commondir", "", directory).value_or(directory);
  std::set<std::string> all;
  for (const std::string& file : {common + "/config", directory + "/config.worktree"}) {
    const Kind kind = tree.look(file).kind;
    if (kind == Kind::absent) continue;
    const auto text = kind == Kind::file ? tree.content(file, max_settings) : std::nullopt;
    if (!text) all.insert("what " + std::string(name_of(file)) + " says, which is no file that could be read");
    for (const auto& [key, value] : policy::parse_git_config(text.value_or(std::string())))
      if (policy::names_program(key)) all.insert(key.size() > max_word ? key.substr(0, max_word) + "…" : key);
  }
  int names = 0;
  if (tree.look(common + "/hooks").kind == Kind::link) all.insert("hooks, which is a link");
  tree.list(common + "/hooks", [&](std::string_view name, Kind) {
    if (++names <= max_names && !name.ends_with(".sample")) all.insert("hooks/" + std::string(name.substr(0, max_word)));
  });
  std::string text;
  std::size_t count = 0;
  for (const std::string& each : all)
    if (++count <= max_told) text += (count == 1 ? "" : ", ") + each;
  return count > max_told ? text + " and " + std::to_string(count - max_told) + " more" : text;
}

}  // namespace

Traces::Found examined(const Traces::Found& found, Tree& tree) {
  Traces::Found told;
  for (const auto& [kind, path] : found) {
    std::optional<std::string> directory;
    if (kind == Trace::bare_repository) directory = std::string(parent_of(path));
    if (kind == Trace::repository) {
      directory = tree.look(path).kind == Kind::file ? path_in(tree, path, "gitdir: ", std::string(parent_of(path))) : path;
      if (directory && *directory != path && is_worktree_of_known(found, tree, *directory)) continue;
    }
    told.emplace(kind, path);
    if (!directory) continue;
    if (const std::string programs = programs_of(tree, *directory); !programs.empty()) told.emplace(Trace::executes, std::string(parent_of(path)) + ": " + programs);
  }
  return told;
}

}  // namespace agentrun::broker
