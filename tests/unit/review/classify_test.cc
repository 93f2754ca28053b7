#include <doctest/doctest.h>

#include <agentrun/policy.h>
#include <agentrun/review.h>

#include "review/classify.h"

using namespace agentrun::review;
using Kind = Entry::Kind;

namespace {
const Target target{.path = "/home/u/proj", .ino = 1};

Change change(const std::string& path, Kind before, Kind after, mode_t mode = 0644) {
  return {.path = path, .before = {.kind = before, .mode = 0644}, .after = {.kind = after, .mode = mode}};
}
}  // namespace

TEST_CASE("files that the host runs or obeys, by name") {
  for (const char* path : {".git/hooks/pre-commit",
                           "sub/.git/hooks/x",
                           ".git/config",
                           ".git/modules/m/config",
                           ".git/modules/m/hooks/post-checkout",
                           ".git/worktrees/w/config.worktree",
                           ".git/commondir",
                           ".git",
                           "vendor/x/.git",
                           ".gitmodules",
                           ".envrc",
                           "a/b/.envrc",
                           ".vscode/tasks.json",
                           ".idea/x.xml",
                           ".mcp.json",
                           ".claude/settings.json",
                           "CLAUDE.md",
                           ".husky/pre-commit",
                           ".github/workflows/ci.yml",
                           ".gitlab-ci.yml",
                           ".bashrc",
                           ".ssh/authorized_keys",
                           ".cargo/config.toml",
                           ".local/bin/ls",
                           ".config/systemd/user/x.service",
                           "x.pth",
                           "p.code-workspace",
                           "bare.git/HEAD",
                           "HEAD",
                           ".GIT/Hooks/pre-commit",
                           ".VSCode/tasks.json",
                           ".git.",
                           ".vscode. /x",
                           ".git/hooks../x",
                           ".Envrc ",
                           "CLAUDE.local.md",
                           ".windsurfrules",
                           ".config/nvim/init.lua",
                           ".hg/hgrc",
                           "a.desktop"})
    CHECK_MESSAGE(is_trusted_name(path), path);
}

TEST_CASE("one table: apply holds back by name what profiles protect, and files that belong to no project") {
  // What tools obey in a project: held back by apply and refused by the profile.
  auto chain = agentrun::profile::Loader("").load("coding");
  const agentrun::policy::Policy coding =
      agentrun::policy::compile(chain, {.home = "/home/u", .workspace = "/home/u/proj"});
  for (const char* path : {".mvn/extensions.xml",
                           ".mvn/jvm.config",
                           ".helix/languages.toml",
                           ".kiro/settings/mcp.json",
                           ".amazonq/mcp.json",
                           ".pnpmfile.cjs",
                           ".yarn/releases/yarn.cjs",
                           ".overcommit.yml",
                           ".pre-commit-config.yml",
                           "lefthook-local.yml",
                           "lefthook.toml",
                           ".autoenv",
                           ".mise/config.toml",
                           ".aider.conf.yaml",
                           "opencode.jsonc",
                           ".dir-locals-2.el",
                           ".cirrus.yml",
                           ".builds/x.yml",
                           ".build.yml",
                           "gradle/wrapper/gradle-wrapper.jar",
                           ".hg/hgrc",
                           ".gitconfig",
                           ".jj/repo/config.toml",
                           ".qwen/settings.json",
                           "crush.json",
                           ".bundle/config",
                           ".config/mise.toml",
                           ".git/config.lock",
                           ".envrc",
                           ".Rprofile",
                           ".agent-run.yaml"}) {
    CHECK_MESSAGE(is_trusted_name(path), path);
    CHECK_MESSAGE(is_trusted_name(std::string("sub/deep/") + path), path);
    const auto verdict = coding.decide(agentrun::policy::Right::write, std::string("/home/u/proj/") + path);
    CHECK_MESSAGE((verdict.act == agentrun::policy::Action::deny && verdict.by == agentrun::policy::DecidedBy::rule),
                  path);
  }
  // Every pattern of the profiles that says what the host executes.
  std::size_t patterns = 0;
  for (const char* name : {"host-exec", "build-settings", "agent-text"})
    for (const auto& profile : agentrun::profile::Loader("").load(name))
      for (const auto* list : {&profile.files.protect, &profile.files.keep})
        for (const auto& pattern : *list) {
          if (pattern.value.starts_with("${git") || pattern.value.starts_with("${path}") ||
              pattern.value == "${writable-home}/{bin,go/bin}")
            continue;          // no name of a project
          std::string sample;  // of the first alternative
          int depth = 0, alternative = 0;
          for (const char c : pattern.value.substr(pattern.value.starts_with("$") ? pattern.value.find('/') + 1 : 0)) {
            if (c == '{') alternative = 0;
            depth += c == '{' ? 1 : c == '}' ? -1 : 0;
            if (c == ',' && depth > 0) ++alternative;
            if (c == '}') alternative = 0;
            if (c != '{' && c != '}' && alternative == 0) sample += c == '*' ? 'x' : c;
          }
          CHECK_MESSAGE(is_trusted_name(sample), pattern.value);
          ++patterns;
        }
  CHECK(patterns > 40);
  for (const std::string& name : names_of_apply()) {
    CHECK_MESSAGE(is_trusted_name(name), name);
    CHECK_MESSAGE(!is_protected_name(name), name);  // else it stands in the profile already
  }
}

TEST_CASE("a project's ordinary files are not in the group") {
  for (const char* path : {"src/main.c",
                           "Makefile",
                           "package.json",
                           "src/hooks/useState.ts",
                           ".git/objects/ab/cdef",
                           ".git/HEAD",
                           ".git/refs/heads/main",
                           ".git/index",
                           ".git/logs/HEAD",
                           "config",
                           "config/x",
                           ".gitignore",
                           ".config/nextest.toml",
                           "README.md",
                           "git/hooks.md",
                           ".cargo/registry/x",
                           "",
                           "/",
                           ".",
                           "/tmp/x",
                           "/proc/x",
                           ".jj/repo/store/x",
                           ".bundle/x"})
    CHECK_FALSE_MESSAGE(is_trusted_name(path), path);
}

TEST_CASE("groups") {
  CHECK(group_of(change("x", Kind::file, Kind::absent), target) == Group::deletion);
  CHECK(group_of(change(".envrc", Kind::file, Kind::absent), target) == Group::trusted);
  CHECK(group_of(change(".claude/settings.json", Kind::file, Kind::absent), target) == Group::trusted);
  CHECK(group_of(change("sub/.git", Kind::directory, Kind::absent), target) == Group::trusted);
  CHECK(group_of(change(".git/hooks", Kind::directory, Kind::directory, 0777), target) == Group::trusted);
  CHECK(group_of(change("src", Kind::directory, Kind::directory, 0777), target) == Group::ordinary);
  CHECK(group_of(change("src", Kind::directory, Kind::file), target) == Group::deletion);
  CHECK(group_of(change("src", Kind::directory, Kind::link), target) == Group::deletion);
  CHECK(group_of(change(".envrc", Kind::absent, Kind::file), target) == Group::trusted);
  CHECK(group_of(change("run.sh", Kind::absent, Kind::file, 0755), target) == Group::trusted);
  CHECK(group_of(change("run.sh", Kind::absent, Kind::file, 0641), target) == Group::trusted);
  CHECK(group_of(change("x.c", Kind::file, Kind::file), target) == Group::ordinary);
  CHECK(group_of(change("d", Kind::absent, Kind::directory, 0755), target) == Group::ordinary);
  CHECK(group_of(change(".git", Kind::directory, Kind::link), target) == Group::trusted);
  CHECK(group_of(change(".git", Kind::file, Kind::directory), target) == Group::trusted);
}

TEST_CASE("a link to a trusted file is trusted") {
  const auto link = [](const std::string& path, const std::string& text) {
    Change made = change(path, Kind::absent, Kind::link);
    made.after.link = text;
    return group_of(made, target);
  };
  CHECK(link("build", ".git/hooks") == Group::trusted);
  CHECK(link("a/b", "../.git") == Group::trusted);
  CHECK(link("a/b", "../.envrc") == Group::trusted);
  CHECK(link("l", "/home/u/proj/.vscode") == Group::trusted);
  CHECK(link(".local/x", "bin") == Group::trusted);
  CHECK(link("a/b", "../src") == Group::ordinary);
}

TEST_CASE("the overlay's own directory counts too") {
  const Change config = change("config", Kind::absent, Kind::file);
  CHECK(group_of(config, target) == Group::ordinary);
  for (const char* path : {"/home/u/proj/.git", "/home/u/.cargo", "/home/u/.ssh"})
    CHECK(group_of(config, {.path = path, .ino = 1}) == Group::trusted);
}

TEST_CASE("links that lead out") {
  CHECK_FALSE(leads_outside("a/l", "b", target));
  CHECK_FALSE(leads_outside("a/l", "../b", target));
  CHECK_FALSE(leads_outside("a/b/l", "../../c/d", target));
  CHECK_FALSE(leads_outside("l", "/home/u/proj/x", target));
  CHECK_FALSE(leads_outside("l", "./x", target));
  CHECK(leads_outside("l", "..", target));
  CHECK(leads_outside("a/l", "../../x", target));
  CHECK(leads_outside("l", "/etc/passwd", target));
  CHECK(leads_outside("l", "/home/u/project", target));
  CHECK(leads_outside("l", "/home/u/proj/../x", target));
  CHECK(leads_outside("p/q/l", "d/../../x", target));  // d may itself be a link
}

TEST_CASE("deletions first, then trusted files, then the rest") {
  std::vector<Change> changes;
  for (auto [path, group] : {std::pair{"z", Group::ordinary},
                             {"b", Group::trusted},
                             {"y", Group::deletion},
                             {"a", Group::ordinary},
                             {"x", Group::deletion}}) {
    changes.push_back({.path = path, .group = group});
  }
  sort_for_review(changes);
  std::string order;
  for (const Change& each : changes) order += each.path;
  CHECK(order == "xybaz");
}

TEST_CASE("targets of the host's names are trusted, and files on the path to them keep their kind") {
  const std::vector<Target> targets = {{.path = "/ws", .ino = 1}};
  const auto change = [](std::string path, Kind before, Kind after, std::string link = {}) {
    return Change{
        .path = std::move(path), .before = {.kind = before}, .after = {.kind = after, .link = std::move(link)}};
  };
  HostNames names{
      .guarded = [](const std::string& path) { return path.starts_with("/ws/fish") ? "/home/u/.config/fish" : ""; },
      .on_the_way = [](const std::string& path) { return path == "/ws/cur" ? "/home/u/.zshrc" : ""; },
      .left_out = {}};
  std::vector<Change> changes = {
      change("fish/a", Kind::absent, Kind::file), change("fish", Kind::absent, Kind::directory),
      change("cur", Kind::link, Kind::directory), change("cur", Kind::directory, Kind::directory),
      change("free", Kind::file, Kind::file),     change("to", Kind::absent, Kind::link, "x/../fish"),
      change("fish/b", Kind::file, Kind::file)};
  changes.back().difference = Difference::time;
  const std::vector<Group> expected = {Group::trusted,  Group::ordinary, Group::trusted, Group::ordinary,
                                       Group::ordinary, Group::trusted,  Group::ordinary};
  const std::vector<Change> unjudged = changes;
  mark_guarded(changes, targets, names);
  for (std::size_t i = 0; i < changes.size(); ++i) CHECK_MESSAGE(changes[i].group == expected[i], changes[i].path);
  CHECK(changes[0].stands_for == "/home/u/.config/fish");
  names.left_out = "/x cannot be listed";
  changes = unjudged;
  mark_guarded(changes, targets, names);
  CHECK(changes[4].group == Group::trusted);
  CHECK(changes[1].group == Group::ordinary);
}
