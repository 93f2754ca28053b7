// What the host runs or obeys without being asked to. The list is of names, in any case (some file systems do not tell
// .GIT from .git), at any depth: an editor that opens a folder inside the project reads the settings there.
#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <tuple>

#include <agentrun/review.h>

namespace agentrun::review {

namespace {

// A folder by this name: it and all below.
constexpr std::array<std::string_view, 29> folders = {
    ".husky", ".lefthook", ".vscode", ".idea",     ".zed",   ".fleet",   ".devcontainer", ".emacs.d", ".vim",     ".nvim",
    ".claude", ".cursor",  ".gemini", ".codex", ".continue", ".aider", ".github", ".circleci", ".gitea",  ".forgejo",
    ".ssh",    ".gnupg",   ".windsurf", ".roo",  ".opencode", ".githooks", ".buildkite", ".woodpecker", ".hg"};
// A file, link or folder by this name.
constexpr std::array<std::string_view, 79> names = {
    ".git", ".gitmodules", ".gitconfig", ".envrc", ".mise.toml", "mise.toml", ".tool-versions", ".pre-commit-config.yaml",
    "lefthook.yml", "lefthook.yaml", ".mcp.json", "claude.md", "agents.md", "gemini.md", ".cursorrules", ".aider.conf.yml",
    ".gitlab-ci.yml", ".travis.yml", ".drone.yml", "jenkinsfile", "azure-pipelines.yml", "bitbucket-pipelines.yml",
    ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile",
    ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout", ".inputrc", ".xprofile", ".xinitrc",
    ".xsession", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".netrc", ".vimrc", ".exrc", ".nvimrc", ".nvim.lua", ".lvimrc",
    ".emacs", ".dir-locals.el", ".gdbinit", ".lldbinit", ".screenrc", ".tmux.conf", "sitecustomize.py", "usercustomize.py",
    ".pythonrc.py", ".curlrc", ".wgetrc", ".mailcap", ".editrc", ".aliases", ".agent-run.yaml", ".devcontainer.json",
    "claude.local.md", "agents.override.md", ".windsurfrules", ".clinerules", "opencode.json", ".lefthook.yml", ".lefthook.yaml",
    "mise.local.toml", ".mise.local.toml", ".woodpecker.yml", ".rprofile"};
constexpr std::array<std::string_view, 3> endings = {".code-workspace", ".pth", ".desktop"};
// A name that means something in this folder only; it and all below.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> pairs = {
    {{".cargo", "config"}, {".cargo", "config.toml"}, {".cargo", "env"}, {".local", "bin"}, {".config", "fish"},
     {".config", "autostart"}, {".config", "systemd"}, {".config", "git"}, {".config", "environment.d"},
     {".config", "nvim"}, {".config", "emacs"}, {".config", "mise"}}};

std::string lower(std::string_view text) {
  std::string low(text);
  for (char& c : low)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return low;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(lower(path.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

template <std::size_t N>
bool holds(const std::array<std::string_view, N>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Inside a repository's folder: its settings and hooks. "modules/x/config" is a submodule's.
bool is_git_setting(std::span<const std::string> parts) {
  const auto git = std::find(parts.begin(), parts.end(), ".git");
  if (git == parts.end()) return false;
  return parts.back() == "config" || parts.back() == "config.worktree" || parts.back() == "commondir" || std::find(git, parts.end(), "hooks") != parts.end();
}

// HEAD outside of .git makes a folder a repository, with a config and hooks of its own.
bool makes_repository(std::span<const std::string> parts) {
  return parts.back() == "head" && std::find(parts.begin(), parts.end(), ".git") == parts.end();
}

}  // namespace

bool is_trusted_name(std::string_view path) {
  std::vector<std::string> parts = components(path);
  // Some file systems take ".git." and ".git " for .git.
  for (std::string& part : parts) part.resize(part.find_last_not_of(". ") + 1);
  if (parts.empty()) return false;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (holds(folders, parts[i])) return true;
    for (const auto& [folder, name] : pairs)
      if (i > 0 && parts[i - 1] == folder && parts[i] == name) return true;
  }
  const std::string& last = parts.back();
  const bool ends = std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return last.ends_with(ending); });
  return holds(names, last) || ends || is_git_setting(parts) || makes_repository(parts);
}

bool leads_outside(std::string_view path, std::string_view text, const Target& target) {
  if (text.starts_with('/')) {
    const std::string_view rest = text.substr(std::min(text.size(), target.path.size()));
    const bool within = text.starts_with(target.path) && (rest.empty() || rest.starts_with('/'));
    return !within || rest.find("/..") != std::string_view::npos;
  }
  const auto depth = std::count(path.begin(), path.end(), '/');
  std::ptrdiff_t up = 0;
  bool named = false;
  for (const std::string& part : components(text)) {
    if (part == ".") continue;
    if (part != "..") named = true;
    else if (named || ++up > depth) return true;  // behind a name, which may be a link: anywhere
  }
  return false;
}

namespace {

// What is written through the link later on would be written there.
bool leads_to_trusted(const std::filesystem::path& link, const std::string& text) {
  return is_trusted_name((link.parent_path() / text).lexically_normal().string());
}

}  // namespace

Group group_of(const Change& change, const Target& target) {
  using Kind = Entry::Kind;
  const Kind before = change.before.kind, after = change.after.kind;
  // With the target's own path: the overlay may be of ~/.config/fish, or of .git itself.
  const std::string path = target.path + "/" + change.path;
  const bool named = is_trusted_name(path);
  // A new folder is only a place for what is in it; but where a file or a link was, or with another mode, it is news.
  if (after == Kind::folder && before == Kind::absent) return Group::ordinary;
  const bool runs = after == Kind::file && (change.after.mode & 0111) != 0;
  const bool leads = after == Kind::link && (leads_outside(change.path, change.after.link, target) || leads_to_trusted(path, change.after.link));
  // Also when it is removed: settings forbid things, too.
  if (named || runs || leads) return Group::trusted;
  const bool gone = after == Kind::absent || (before == Kind::folder && after != Kind::folder);
  return gone ? Group::deletion : Group::ordinary;
}

void sort_for_review(std::vector<Change>& changes) {
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return std::tie(a.group, a.target, a.path) < std::tie(b.group, b.target, b.path);
  });
}

std::string_view name(Entry::Kind kind) noexcept {
  static constexpr std::array<std::string_view, 5> kinds = {"absent", "file", "folder", "link", "special"};
  return kinds[static_cast<std::size_t>(kind)];
}

std::string_view name(Group group) noexcept {
  static constexpr std::array<std::string_view, 3> groups = {"deletion", "trusted", "ordinary"};
  return groups[static_cast<std::size_t>(group)];
}

}  // namespace agentrun::review
