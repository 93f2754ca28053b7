// Protected objects: names that stand for guarded ones, in a tree that exists only here.
#include <doctest/doctest.h>

#include <algorithm>

#include <agentrun/policy/objects.h>

#include "host.h"

using namespace agentrun;
using namespace agentrun::policy;
using namespace agentrun::policy::test;

namespace {

class FakeTree final : public Tree {
 public:
  FakeTree& add(const std::string& path, TreeNode node) {
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      TreeNode& above = nodes_[path.substr(0, slash)];
      if (above.kind == TreeNode::Kind::absent) above = {.kind = TreeNode::Kind::directory, .ino = ++last_};
    }
    node.ino = node.ino != 0 ? node.ino : ++last_;
    nodes_[path] = std::move(node);
    return *this;
  }
  FakeTree& file(const std::string& path) { return add(path, {.kind = TreeNode::Kind::file, .links = 1}); }
  FakeTree& holds(const std::string& path, const std::string& text) {
    return add(path, {.kind = TreeNode::Kind::file, .text = text, .links = 1});
  }
  FakeTree& hard(const std::string& path, std::uint64_t ino) {
    return add(path, {.kind = TreeNode::Kind::file, .ino = ino, .links = 2});
  }
  FakeTree& link(const std::string& path, const std::string& to) {
    return add(path, {.kind = TreeNode::Kind::link, .text = to});
  }

  TreeNode look(const std::string& path) override {
    ++looks;
    const auto found = nodes_.find(path);
    return found == nodes_.end() ? TreeNode{} : found->second;
  }
  Listed list(const std::string& directory, const Each& each) override {
    if (directory == unreadable) return Listed::partly;
    if (directory == closed) return Listed::shut;
    for (const auto& [path, node] : nodes_) {
      if (path.starts_with(directory + "/") && path.find('/', directory.size() + 1) == std::string::npos)
        each(path.substr(directory.size() + 1), node.kind);
    }
    return Listed::whole;
  }
  std::optional<std::string> content(const std::string& path, std::size_t) override {
    if (path == unread) return std::nullopt;
    const TreeNode node = look(path);
    return node.kind == TreeNode::Kind::file ? std::optional(node.text) : std::nullopt;
  }
  bool folds(const std::string&) override { return folding; }

  std::string unreadable, closed, unread;
  bool folding = false;
  int looks = 0;

 private:
  std::map<std::string, TreeNode> nodes_;
  std::uint64_t last_ = 1000;
};

const std::string ws = "/home/u/proj";

struct World {
  FakeHost host = debian_host();
  HostFacts facts = host.facts();
  Policy policy;
  ProtectedObjects found;

  World(const std::string& files, FakeTree& tree)
      : policy(compile_text("workspace: {mode: write}\nfiles: {" + files + "}\n", facts)),
        found(find_protected(policy, tree, Searched::unchangeable)) {}

  // The name by which a change of the path is denied; "" when it is not.
  [[nodiscard]] std::string name_of(const std::string& path, Age age = Age::before) const {
    const auto denial = found.denies(policy, Right::write, ws + path, age);
    return denial ? denial->name : "";
  }
  [[nodiscard]] bool no_link_at(const std::string& path) const {
    return found.on_the_way(policy, ws + path).has_value();
  }
};

const std::string hooks = "protect: [\"**/.git/hooks/**\", \"**/.git/hooks\", \"${workspace}/.envrc\"]";

}  // namespace

TEST_CASE("a directory without access for its owner must stay so; nothing else is denied for it") {
  FakeTree tree;
  tree.hard(ws + "/file", 7).file(ws + "/closed/.git/hooks/x").closed = ws + "/closed";
  const World world(hooks, tree);
  CHECK(world.found.left_out().empty());
  const TreeNode closed = tree.look(ws + "/closed"), file = tree.look(ws + "/file");
  CHECK(world.found.is_shut({.dev = closed.dev, .ino = closed.ino}));
  CHECK_FALSE(world.found.is_shut({.dev = file.dev, .ino = file.ino}));
}

TEST_CASE("the target of a .git file or a commondir is guarded as .git, at any depth") {
  FakeTree tree;
  tree.holds(ws + "/a/b/tree/.git", "gitdir: ../../../store/worktrees/t\n")
      .holds(ws + "/store/worktrees/t/commondir", "../..\n");
  tree.file(ws + "/store/HEAD").file(ws + "/store/hooks/x");
  tree.holds(ws + "/c/d/.git", "gitdir: " + ws + "/e\r\n").file(ws + "/e/HEAD");
  tree.holds(ws + "/f/.git", "no gitdir: ../g")
      .holds(ws + "/g/commondir", "../h")
      .holds(ws + "/i/.git", "gitdir: /elsewhere");
  const World world("protect: [\"**/.git/hooks/**\", \"**/.git/hooks\"]", tree);
  CHECK(world.name_of("/store/hooks/new") == ws + "/a/b/tree/.git/hooks/new");
  CHECK(world.name_of("/e/hooks") == ws + "/c/d/.git/hooks");
  CHECK(world.name_of("/g/hooks").empty());
  CHECK(world.name_of("/h/hooks").empty());
  CHECK(world.name_of("/store/objects/x").empty());
  CHECK(world.no_link_at("/store/hooks"));
}

TEST_CASE("paths in a repository's settings are guarded as its hooks or settings, at any depth") {
  FakeTree tree;
  tree.holds(ws + "/a/b/.git/config",
             "[core]\n\thooksPath = ../h\n\tfsmonitor = sh t/mon -x\n[include]\n\tpath = ../../more.inc\n")
      .file(ws + "/a/b/.git/HEAD");
  tree.holds(ws + "/a/more.inc", "[core]\nhooksPath=" + ws + "/abs/hooks\n[include]\npath=later.inc\n");
  // Two worktrees, one of them met after the settings; one repository behind a link.
  tree.holds(ws + "/c/d/.git/config", "[core]\nhooksPath = .hk\n")
      .holds(ws + "/c/d/.git/worktrees/w/gitdir", ws + "/z/w/.git\n");
  tree.holds(ws + "/c/d/.git/worktrees/w/commondir", "../..\n")
      .holds(ws + "/z/w/.git", "gitdir: " + ws + "/c/d/.git/worktrees/w\n");
  tree.link(ws + "/l/m/.git", "../../store")
      .holds(ws + "/store/config", "[core]\nhooksPath = hk\n")
      .file(ws + "/store/HEAD");
  // A submodule, and a repository whose directory cannot be changed.
  tree.holds(ws + "/s/t/.git/modules/lib/config", "[core]\nworktree = ../../../lib\nhooksPath = hk\n");
  tree.holds(ws + "/o/p/.git", "gitdir: /opt/r/.git/worktrees/p\n")
      .holds("/opt/r/.git/worktrees/p/commondir", "../..\n");
  tree.holds("/opt/r/.git/config", "[core]\nhooksPath = hk\n");
  const World world(
      "protect: [\"**/.git/hooks/**\", \"**/.git/hooks\", \"**/.git/config.worktree\"], keep: [\"**/.git/config\", "
      "\"**/.git/modules/**/config\"]",
      tree);
  CHECK(world.found.left_out().empty());
  CHECK(world.name_of("/a/h/pre-commit", Age::since) == ws + "/a/b/.git/hooks/pre-commit");
  CHECK(world.name_of("/a/b/t/mon", Age::since) == ws + "/a/b/.git/hooks/fsmonitor");
  CHECK(world.name_of("/a/more.inc") == ws + "/a/b/.git/config.worktree");
  CHECK(world.name_of("/a/later.inc", Age::since) == ws + "/a/b/.git/config.worktree");
  CHECK(world.name_of("/abs/hooks/x") == ws + "/a/b/.git/hooks/x");
  CHECK(world.name_of("/c/d/.hk/x") == ws + "/c/d/.git/hooks/x");
  CHECK(world.name_of("/z/w/.hk/x") == ws + "/c/d/.git/hooks/x");
  CHECK(world.name_of("/l/m/hk/x") == ws + "/l/m/.git/hooks/x");
  CHECK(world.name_of("/s/t/lib/hk/x") == ws + "/s/t/.git/hooks/x");
  CHECK(world.name_of("/o/p/hk/x") == ws + "/o/p/.git/hooks/x");
  CHECK(world.name_of("/a/b/src/x").empty());
  CHECK(world.name_of("/hk/x").empty());
  CHECK(world.no_link_at("/a"));
}

TEST_CASE("unreadable settings are reported, and block nothing else") {
  FakeTree tree;
  tree.holds(ws + "/a/b/.git/config", "[core]\nhooksPath = ../h\n")
      .holds(ws + "/c/d/.git/config", "[include]\npath = config\n")
      .unread = ws + "/c/d/.git/config";
  const World world("protect: [\"**/.git/hooks/**\", \"**/.git/hooks\"], keep: [\"**/.git/config\"]", tree);
  CHECK(world.found.left_out().find("/c/d/.git/config is too long") != std::string::npos);
  CHECK_FALSE(world.name_of("/a/h/x").empty());
}

TEST_CASE("the target of a link at a guarded name is guarded by that name") {
  FakeTree tree;
  tree.file(ws + "/scripts/pc").link(ws + "/.git/hooks/pre-commit", "../../scripts/pc");
  tree.link(ws + "/.envrc", "nowhere")
      .link(ws + "/sub/.git/hooks", ws + "/h")
      .file(ws + "/h/x")
      .link(ws + "/docs", "scripts");
  const World world(hooks, tree);
  CHECK(world.found.left_out().empty());
  CHECK(world.name_of("/scripts/pc") == ws + "/.git/hooks/pre-commit");
  CHECK(world.name_of("/scripts/other").empty());
  CHECK(world.name_of("/nowhere") == ws + "/.envrc");
  CHECK(world.name_of("/h") == ws + "/sub/.git/hooks");
  CHECK(world.name_of("/h/new") == ws + "/sub/.git/hooks/new");
  CHECK(world.no_link_at("/scripts"));
  CHECK_FALSE(world.no_link_at("/docs"));
}

TEST_CASE("chains, links on the path, links inside a target, and loops") {
  FakeTree tree;
  tree.link(ws + "/.envrc", "a")
      .link(ws + "/a", "m/b")
      .link(ws + "/m", "mm")
      .link(ws + "/mm/b", "../end")
      .file(ws + "/end");
  tree.link(ws + "/.git", "gd").link(ws + "/gd/hooks", "../h").link(ws + "/h/up", "../h").link(ws + "/h/all", ".");
  const World world(hooks, tree);
  for (const char* path : {"/a", "/m/b", "/mm/b", "/end"}) CHECK(world.name_of(path) == ws + "/.envrc");
  CHECK(world.no_link_at("/m"));
  CHECK(world.name_of("/gd/hooks") == ws + "/.git/hooks");
  CHECK(world.name_of("/gd/refs").empty());
  CHECK(world.name_of("/h/x") == ws + "/.git/hooks/x");
  CHECK(world.found.may_guard_below(world.policy, ws + "/gd"));
  CHECK(world.no_link_at("/gd"));
}

TEST_CASE("a path through .. is noted: the directory there decides its target") {
  FakeTree tree;
  tree.file(ws + "/p/q/x").file(ws + "/p/real").link(ws + "/.envrc", "p/q/../real");
  const World world(hooks, tree);
  CHECK(world.name_of("/p/real") == ws + "/.envrc");
  CHECK(world.no_link_at("/p"));
  CHECK(world.no_link_at("/p/q"));
}

TEST_CASE("hard links count by identity, and files.keep by age") {
  FakeTree tree;
  tree.hard(ws + "/.envrc", 7).hard(ws + "/copy", 7).link(ws + "/sub/.git/config", "../../shared").file(ws + "/shared");
  const World world(hooks + ", keep: [\"**/.git/config\"]", tree);
  const auto denial =
      world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 0, .ino = 7}, Age::before);
  REQUIRE(denial);
  CHECK(denial->name == ws + "/.envrc");
  CHECK_FALSE(
      world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 1, .ino = 7}, Age::before));
  CHECK(world.name_of("/shared") == ws + "/sub/.git/config");
  CHECK(world.name_of("/shared", Age::since).empty());
}

TEST_CASE("irrelevant links have no effect, and skipped ones are reported") {
  FakeTree tree;
  for (int i = 0; i < 100; ++i)
    tree.link(ws + "/node_modules/p" + std::to_string(i), "../packages/p" + std::to_string(i));
  const World world(hooks, tree);
  CHECK(world.found.empty());
  tree.file(ws + "/secret/x").unreadable = ws + "/secret";
  CHECK(World(hooks, tree).found.left_out() == ws + "/secret cannot be listed");
  CHECK(World("read: [/opt]", tree).found.left_out().empty());
}

TEST_CASE("a link to its own directory guards that directory") {
  FakeTree tree;
  tree.link(ws + "/.git/hooks", ".").file(ws + "/.git/HEAD");
  const World world(hooks, tree);
  CHECK(world.name_of("/.git/x") == ws + "/.git/hooks/x");
}

TEST_CASE("denied: masks and reads") {
  FakeTree tree;
  tree.link(ws + "/.env", "conf/real").file(ws + "/conf/real").hard(ws + "/src/.env", 9).hard(ws + "/src/copy", 9);
  FakeHost host = debian_host();
  HostFacts facts = host.facts();
  facts.tree = &tree;
  const Policy policy = compile_text("workspace: {mode: write}\nfiles: {deny: [\"**/.env\"]}\n", facts);
  const auto masks = policy.masks();
  CHECK(std::find(masks.begin(), masks.end(), ws + "/conf/real") != masks.end());
  const ProtectedObjects& denied = policy.denied_objects();
  CHECK(denied.denies(policy, Right::read, ws + "/conf/real", Age::before));
  CHECK(denied.denies(policy, Right::read, ProtectedObjects::Identity{.dev = 0, .ino = 9}, Age::before));
  // What is below a directory is denied, not the directory.
  const Policy below = compile_text("workspace: {mode: write}\nfiles: {deny: [\"${workspace}/src/**\"]}\n", facts);
  CHECK(std::vector<std::string>(below.masks().begin(), below.masks().end()) ==
        std::vector<std::string>{ws + "/src/a.c"});
}

TEST_CASE("spellings that a file system may equate with a guarded name") {
  FakeTree tree;
  const World world(hooks + ", deny: [\"**/Key\"], keep: [\"**/.git/config\"]", tree);
  const FoldedRules& folded = world.policy.denied_objects().folded();
  for (const char* name : {"/.ENVRC", "/.envrc. .", "/.Git/Hooks/x", "/sub/.git /hOOKS",
                           "/.git/hoo\xe2\x84\xaa"
                           "s",
                           "/KEY", "/key"})
    CHECK(folded.denies(Right::write, ws + name, Age::since) != nullptr);
  for (const char* name : {"/envrc", "/.git/refs", "/.envrc-", "/..", "/ "})
    CHECK(folded.denies(Right::write, ws + name, Age::since) == nullptr);
  CHECK(folded.denies(Right::read, ws + "/kEy", Age::before) != nullptr);
  CHECK(folded.denies(Right::read, ws + "/.ENVRC", Age::before) == nullptr);
  CHECK(folded.denies(Right::write, ws + "/.GIT/CONFIG", Age::before) != nullptr);
  CHECK(folded.denies(Right::write, ws + "/.GIT/CONFIG", Age::since) == nullptr);
  CHECK(folded.on_the_way(ws + "/.GIT") != nullptr);
  CHECK(folded.may_guard_below(ws + "/x"));
}

TEST_CASE("where names are folded, guarded objects count by identity: they have short names") {
  FakeTree tree;
  tree.folding = true;
  tree.add(ws + "/.ENVRC", {.kind = TreeNode::Kind::file, .ino = 5, .links = 1});
  tree.add(ws + "/.GIT", {.kind = TreeNode::Kind::directory, .ino = 6}).file(ws + "/.GIT/hooks/x");
  const World world(hooks, tree);
  CHECK(world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 0, .ino = 5}, Age::before));
  CHECK(world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 0, .ino = 6}, "hooks",
                           Age::before));
  CHECK_FALSE(world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 0, .ino = 6}, "refs",
                                 Age::before));
}

TEST_CASE("the workspace's rules at any depth, for hard links") {
  FakeTree tree;
  const World world(hooks, tree);
  CHECK(world.policy.guards_as_workspace(ws + "/sub/.envrc") != nullptr);
  CHECK(world.policy.guards_as_workspace("/elsewhere/.envrc") != nullptr);
  CHECK(world.policy.guards_as_workspace(ws + "/sub/envrc") == nullptr);
}

namespace {

// As a run sees it: the search of what is not shown is part of the policy.
struct WholeWorld {
  FakeHost host = debian_host();
  HostFacts facts = host.facts();
  Policy policy;
  ProtectedObjects found;

  WholeWorld(const std::string& body, FakeTree& tree)
      : policy(compile_text(body, with(tree))), found(find_protected(policy, tree, Searched::unchangeable)) {}

  HostFacts& with(FakeTree& tree) {
    facts.tree = &tree;
    facts.environment["PATH"] = "/opt/bin:" + ws + "/bin:relative::/opt/../bin";
    return facts;
  }
  [[nodiscard]] std::string name_of(const std::string& path) const {
    const auto denial = found.denies(policy, Right::write, ws + path, Age::since);
    return denial ? denial->name : "";
  }
};

const std::string home_rules =
    "workspace: {mode: write}\nfiles: {protect: [\"${writable-home}/.config/fish\", "
    "\"${writable-home}/{.zshrc,.vim,.profile}\", \"${path}/*\"]}\n";

}  // namespace

TEST_CASE("names outside the mount view guard their targets, and nothing in the private home") {
  FakeTree tree;
  tree.file(ws + "/fish")
      .link("/home/u/.config/fish/config.fish", ws + "/fish")
      .link("/home/u/.config/fish/conf", "../../proj/nowhere");
  tree.link("/home/u/.profile", "proj/hop").link(ws + "/hop", "end").file(ws + "/end");
  tree.hard("/home/u/.zshrc", 9)
      .hard(ws + "/z", 9)
      .file(ws + "/tool")
      .file(ws + "/own")
      .link("/opt/bin/t", ws + "/tool")
      .link(ws + "/bin/o", "../own");
  const WholeWorld world(home_rules, tree);
  CHECK(world.name_of("/fish") == "/home/u/.config/fish/config.fish");
  CHECK(world.name_of("/nowhere") == "/home/u/.config/fish/conf");
  CHECK(world.name_of("/hop") == "/home/u/.profile");
  CHECK(world.name_of("/end") == "/home/u/.profile");
  CHECK(world.name_of("/tool") == "/opt/bin/t");
  CHECK(world.name_of("/own").empty());
  CHECK(world.name_of("/bin/o").empty());
  const auto hard =
      world.found.denies(world.policy, Right::write, ProtectedObjects::Identity{.dev = 0, .ino = 9}, Age::since);
  REQUIRE(hard);
  CHECK(hard->name == "/home/u/.zshrc");
  CHECK(world.policy.decide(Right::write, "/home/u/.zshrc").act == Action::allow);
  CHECK_FALSE(world.found.denies(world.policy, Right::read, ws + "/fish", Age::since));
  CHECK(world.policy.reads_enforced() == profile::Reads::claimed);
}

TEST_CASE("names outside the mount view: through other directories, loops, a whole grant, deep ones") {
  FakeTree tree;
  tree.link("/home/u/.vim", "/srv/vim")
      .link("/srv/vim/a", ws + "/d")
      .file(ws + "/d/x")
      .link("/srv/vim/self", ".")
      .link("/srv/vim/up", "..");
  tree.link("/srv/vim/pack/mine", ws)
      .link("/srv/vim/1/2/3/four", ws + "/four")
      .link("/srv/vim/1/2/3/4/five", ws + "/five")
      .file(ws + "/four")
      .file(ws + "/five");
  const WholeWorld world(home_rules, tree);
  CHECK(world.name_of("/d/new") == "/home/u/.vim/a/new");
  CHECK(world.name_of("/four") == "/home/u/.vim/1/2/3/four");
  CHECK(world.name_of("/five") == "/home/u/.vim/1/2/3/4/five");
  CHECK(world.name_of("").empty());
  CHECK(world.name_of("/src").empty());
  const auto* const unshown = world.policy.denied_objects().found_unshown();
  REQUIRE(unshown != nullptr);
  REQUIRE(unshown->whole().size() == 1);
  CHECK(unshown->whole()[0] == std::pair<std::string, std::string>("/home/u/.vim/pack/mine", ws));
  CHECK(unshown->left_out().empty());
}

TEST_CASE("denied files: other hard links are masked, and so are names outside the mount view") {
  FakeTree tree;
  tree.hard(ws + "/.env", 7).hard(ws + "/conf/copy", 7).hard("/home/u/secret", 8).hard(ws + "/twin", 8);
  tree.link("/home/u/linked", "proj/real").file(ws + "/real").file(ws + "/free");
  const WholeWorld world(
      "workspace: {mode: overlay}\nfiles: {deny: [\"**/.env\", ~/secret, ~/linked]}\naudit: {reads: off}\n", tree);
  const auto& denied = world.policy.denied_objects();
  for (const char* path : {"/conf/copy", "/twin", "/real"}) {
    CHECK(denied.denies(world.policy, Right::read, ws + path, Age::since));
    CHECK(std::ranges::find(world.policy.masks(), ws + path) != world.policy.masks().end());
  }
  CHECK_FALSE(denied.denies(world.policy, Right::read, ws + "/free", Age::since));
  CHECK(world.policy.denies_later());
  CHECK_FALSE(world.policy.reads_need_broker());
}

TEST_CASE("a file written by one name is not executed by another, also through directories") {
  FakeTree tree;
  tree.hard(ws + "/x", 7)
      .hard("/opt/sdk/x", 7)
      .file(ws + "/d/plain")
      .add("/opt/sdk/d", {.kind = TreeNode::Kind::directory, .ino = 50});
  const WholeWorld world(
      "workspace: {mode: write}\nfiles: {read: [/opt/sdk]}\nexec: {allow: [/opt/sdk/**], writable: deny}\n", tree);
  const ProtectedObjects writable = find_writable(world.policy, tree);
  const auto file =
      writable.denies(world.policy, Right::execute, ProtectedObjects::Identity{.dev = 0, .ino = 7}, Age::since);
  REQUIRE(file);
  CHECK(file->name == ws + "/x");
  const TreeNode directory = tree.look(ws + "/d");
  const auto in_it =
      writable.denies(world.policy, Right::execute, {.dev = directory.dev, .ino = directory.ino}, "new", Age::since);
  REQUIRE(in_it);
  CHECK(in_it->name == ws + "/d/new");
  CHECK_FALSE(writable.denies(world.policy, Right::execute, {.dev = 0, .ino = 50}, "new", Age::since));
}
