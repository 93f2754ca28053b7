// Looking for protected objects. Theory of operation: directories are walked breadth first, each by a name that it is
// judged by, which at first is its path. A link that is met is followed hop by hop, as path_resolution(7) says; each
// name that then stands for the link in full (where a hop leads, with what is left of the path) gets the link's name as
// another one of its own, unless its own names guard as much. So a link that means nothing costs one look, and the walk
// ends: what a link leads to is walked only when it gained a name. What is on the way of a link is noted: another link
// must not be put there. A .git file and git's commondir are links too, which git follows (gitrepository-layout(5)); so
// is what settings of a repository name: these are read as they are met (git_found.cc), and what they name stands for a
// hook or for settings of that repository. What may only be read is walked as well, since the host obeys the names that
// stand there: names that are noted in it serve the walk, and are dropped at its end. Names that the view does not show
// are walked on the host (Searched::unshown), each by its own name, and whatever links lead to is walked as well: only
// what lies in a grant gets another name. They may be large, and an earlier run may have filled one of them: first what
// stands directly at and in each, then the one of which least was seen. Looking for hard links costs more than names.
#include <agentrun/policy/objects.h>

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include <agentrun/sys/paths.h>
#include "policy/policy_data.h"
#include "policy/search/git_found.h"

namespace agentrun::policy {

namespace {

using Kind = TreeNode::Kind;

constexpr std::size_t max_entries = 10'000'000;  // some seconds: nothing is changed, or started, without the rest
constexpr std::size_t max_names = 20'000;
constexpr std::size_t max_path = 4096;                                               // PATH_MAX
constexpr int max_links = 40;                                                        // MAXSYMLINKS
constexpr unsigned part_head = 1, part_objects = 2, part_refs = 4, part_common = 8;  // of a repository of git
// Of what the view does not show, below the directories that rules begin at: names, and files that are looked at for
// further links.
constexpr std::size_t max_unshown = 200'000;
constexpr std::size_t max_looks = 20'000;
// Of what a rule of the program's own profiles names (~/.pyenv, ~/.nvm hold tens of thousands of files that nobody
// links to): so many names below the first level of each, and no word about the rest, which agent-run-profile(5) says.
constexpr std::size_t max_of_shipped = 4'000;

std::string child(const std::string& directory, std::string_view name) {
  return (directory == "/" ? "" : directory) + "/" + std::string(name);
}

unsigned part_of_repository(std::string_view entry) {
  if (entry == "HEAD") return part_head;
  if (entry == "objects") return part_objects;
  if (entry == "refs") return part_refs;
  return entry == "commondir" ? part_common : 0;
}

std::deque<std::string> components(std::string_view text) {
  std::deque<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('/', at), text.size());
    if (end > at && text.substr(at, end - at) != ".") parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

class ObjectSearch {
 public:
  ObjectSearch(const Policy& policy, Tree& tree, Searched searched)
      : policy_(policy), tree_(tree), searched_(searched), git_(policy.home()) {}

  ProtectedObjects run() {
    for (const Grant& grant : policy_.view()) {
      const bool searched =
          grant.access != Grant::Access::scratch &&
          (searched_ != Searched::unchangeable || changes_host(grant.access) || !is_vendor(grant.path));
      if (searched) roots_.push_back(grant.path);
      if (searched_ == Searched::denied || changes_host(grant.access)) targets_.push_back(grant.path);
    }
    if (searched_ == Searched::unshown) return run_unshown();
    if (searched_ == Searched::unchangeable && targets_.empty()) return std::move(objects_);
    for (const std::string& root : roots_) {
      const bool covered = std::ranges::any_of(roots_, [&](const std::string& other) {
        return &other != &root && within(root, other) && (root != other || &other < &root);
      });
      if (!covered) start(root, root);
    }
    start_at_mounts();
    do {
      walk();
    } while (!objects_.refuses_ && follow_settings());
    if (!git_.unread().empty())
      leave_out(git_.unread(), "is too long or cannot be read: what it names, and git would execute, is not known");
    if (const ProtectedObjects* unshown = policy_.denied_objects().found_unshown();
        unshown != nullptr && searched_ == Searched::unchangeable)
      objects_.add(*unshown);
    if (searched_ == Searched::unchangeable)
      std::erase_if(objects_.names_, [&](const auto& one) { return !is_target(one.first); });
    return std::move(objects_);
  }

 private:
  // What is in the view by one name of a mount is looked at by the others as well.
  void start_at_mounts() {
    const MountNames& mounts = policy_.denied_objects().mounts();
    const auto inside = [&](const std::string& path) {
      return std::ranges::any_of(roots_, [&](const std::string& root) { return within(path, root); });
    };
    for (const std::string& root : roots_) {
      for (const std::string& other : mounts.others(root)) start(root, other);
    }
    for (const auto& [place, other] : mounts.pairs()) {
      if (inside(place)) start(place, other);
      if (inside(other)) start(other, place);
    }
  }

  struct Place {
    std::string path, name;  // where it is, and by which name it is judged
    int level = 0;           // below where a rule begins; of what the view does not show
  };

  void walk() {
    while (!todo_.empty() && !objects_.refuses_) {
      const Place place = std::move(todo_.front());
      todo_.pop_front();
      directory(place);
    }
  }

  // One tree after the other by how much was seen of each.
  struct Tour {
    std::deque<Place> todo;
    std::size_t entries = 0, deep = 0;
    bool shipped = false;  // the rule that it begins at
  };

  ProtectedObjects run_unshown() {
    const auto beginnings = unshown().beginnings();
    tours_.resize(beginnings.size());
    for (std::size_t i = 0; i < tours_.size(); ++i) tours_[i].shipped = is_shipped(beginnings[i]);
    for (tour_ = 0; tour_ < tours_.size(); ++tour_)
      follow(beginnings[tour_], {}, components(beginnings[tour_]), beginnings[tour_], 0);
    for (tour_ = 0; tour_ < tours_.size(); ++tour_) {
      for (std::size_t left = tours_[tour_].todo.size(); left > 0 && !objects_.refuses_; --left) next_unshown();
    }
    std::set<std::pair<std::size_t, std::size_t>> order;
    for (std::size_t i = 0; i < tours_.size(); ++i) {
      if (!tours_[i].todo.empty()) order.emplace(tours_[i].entries, i);
    }
    for (; !order.empty() && deep_entries_ <= max_unshown && !objects_.refuses_;) {
      tour_ = order.begin()->second;
      order.erase(order.begin());
      next_unshown();
      if (!tours_[tour_].todo.empty()) order.emplace(tours_[tour_].entries, tour_);
    }
    for (const auto& [entries, i] : order)
      leave_out_unshown(tours_[i].todo.front().name,
                        "and more was not looked at: what the view does not show holds more than 200,000 names");
    return std::move(objects_);
  }

  [[nodiscard]] bool is_shipped(const std::string& beginning) const {
    const Rule* rule = unshown().guards(beginning);
    if (rule == nullptr) rule = unshown().guards(child(beginning, "x"));
    return rule != nullptr && rule->author != profile::Author::user;
  }
  [[nodiscard]] bool is_enough() const { return tours_[tour_].shipped && tours_[tour_].deep > max_of_shipped; }

  // Of what is denied it is not known then which file must not be read.
  void leave_out_unshown(const std::string& name, std::string_view why) {
    if (any_denied_ && policy_.guarded(Right::read, name)) objects_.denies_reads_ = true;
    leave_out(name, why);
  }

  void next_unshown() {
    Tour& tour = tours_[tour_];
    const Place place = std::move(tour.todo.front());
    tour.todo.pop_front();
    directory_unshown(place);
  }

  void later(Place place) { (searched_ == Searched::unshown ? tours_[tour_].todo : todo_).push_back(std::move(place)); }

  // What the agent may change is searched where the agent sees it, by what it may not change there.
  [[nodiscard]] bool is_the_agents(const Place& place) const {
    return place.path == place.name &&
           std::ranges::any_of(targets_, [&](const std::string& target) { return within(place.path, target); });
  }

  void directory_unshown(const Place& place) {
    if (!unshown().may_guard_below(place.name) || is_the_agents(place) || !walked_.insert(place.path).second) return;
    const bool vendor = is_vendor(place.path);
    if (vendor && !within(place.path, "/usr/local"))
      return;  // of packages alone: thousands of links, and each start would follow them
    const int level = place.level + 1;
    if (level > 1 && is_enough()) return;
    const Tree::Listed listed = tree_.list(place.path, [&](std::string_view entry, Kind kind) {
      ++tours_[tour_].entries;
      if (++entries_ > max_entries) return refuse(place.name, "holds too much");
      if (level > 1 && (++tours_[tour_].deep, is_enough())) return;
      if (level > 1 && !tours_[tour_].shipped && ++deep_entries_ > max_unshown) return;
      std::string path = child(place.path, entry);
      if (kind == Kind::link && !(vendor && stays_with_packages(path, place)))
        follow(path, place.path == "/" ? "" : place.path, {std::string(entry)}, child(place.name, entry), level);
      if (vendor) return;
      if (kind == Kind::directory)
        later({std::move(path), child(place.name, entry), level});
      else if (kind == Kind::file)
        file_unshown(path, child(place.name, entry), level);
    });
    if (level > 1 && deep_entries_ > max_unshown)
      leave_out_unshown(place.name,
                        "and more was not looked at: what the view does not show holds more than 200,000 names");
    if (listed == Tree::Listed::partly) leave_out_unshown(place.name, "cannot be listed");
  }

  void file_unshown(const std::string& path, const std::string& name, int level) {
    if (!guarded(name)) return;
    if (level > 1 && !tours_[tour_].shipped && ++looks_ > max_looks)
      return leave_out_unshown(
          name, "and more was not looked at for hard links: what the view does not show holds more than 20,000 files");
    file(path, name, false);
  }

  // Most links of /usr/bin lead to another entry of it, which is followed itself, or to what packages have elsewhere,
  // also by update-alternatives(1).
  [[nodiscard]] bool stays_with_packages(const std::string& path, const Place& place) {
    constexpr std::string_view up = "../";
    std::string text = tree_.link_text(path);
    if (text.find('/') == std::string::npos && text != "..")
      return unshown().guards(child(place.name, text)) != nullptr;
    std::string_view above = place.path, rest = text;
    for (; rest.starts_with(up); rest.remove_prefix(up.size())) above = parent_of(above);
    if (rest.size() < text.size()) text = child(std::string(above), rest);
    if (within(text, "/etc/alternatives")) text = tree_.link_text(text);
    return is_vendor(text) && text.find("..") == std::string::npos;
  }

  // What is not shown is looked at once: hundreds of names have the same directories above them.
  const TreeNode& look(const std::string& path) {
    if (searched_ != Searched::unshown) return node_ = tree_.look(path);
    const auto [at, fresh] = nodes_.try_emplace(path);
    if (fresh) at->second = tree_.look(path);
    return at->second;
  }

  [[nodiscard]] const UnshownRules& unshown() const { return policy_.denied_objects().unshown(); }

  // What may get a name that the view does not show: what lies in a grant where it would mean something, and is not all
  // of it.
  [[nodiscard]] bool takes_unshown(const std::string& path, const std::string& name) {
    bool writable = false, shown = false, whole = false;
    for (const Grant& grant : policy_.view()) {
      if (grant.access == Grant::Access::scratch) continue;
      const bool inside = within(path, grant.path) && path != grant.path;
      (changes_host(grant.access) ? writable : shown) |= inside;
      whole = whole || (within(grant.path, path) && changes_host(grant.access) && !lies_in_another(grant));
    }
    const bool takes = writable || (shown && denies(name)) || by_mounts(path);
    const bool known = std::ranges::any_of(objects_.whole_, [&](const auto& one) {
      return one.second == path && unshown().guards_no_more(name, one.first);
    });
    if (whole && path != "/" && !known && unshown().may_guard_below(name)) objects_.whole_.emplace_back(name, path);
    return takes && !whole;
  }

  // It is only a name, a link made in the view, of what a larger grant shows.
  [[nodiscard]] bool lies_in_another(const Grant& grant) const {
    const Grant* deepest = nullptr;
    for (const Grant& other : policy_.view()) {
      if (other.path == grant.path || !within(grant.path, other.path)) continue;
      if (deepest == nullptr || other.path.size() > deepest->path.size()) deepest = &other;
    }
    return deepest != nullptr && deepest->access == grant.access;
  }

  [[nodiscard]] bool guarded(const std::string& name) const {
    if (searched_ == Searched::unshown) return unshown().guards(name) != nullptr;
    const Right right = searched_ == Searched::denied ? Right::read : Right::change;
    return policy_.guarded(right, name) || (folds_ && rules().denies(right, name, Age::before) != nullptr);
  }

  // Is there anything to be found by a link or a file below this name?
  [[nodiscard]] bool interesting_below(const std::string& name) const {
    if (searched_ == Searched::unshown) return guarded(name) || unshown().may_guard_below(name);
    if (guarded(name) || (folds_ && rules().may_guard_below(name))) return true;
    return searched_ == Searched::denied ? policy_.may_deny_below(name) : policy_.may_guard_below(name);
  }

  [[nodiscard]] const FoldedRules& rules() const { return policy_.denied_objects().folded(); }
  [[nodiscard]] bool on_the_way(const std::string& name) const {
    if (searched_ == Searched::unshown) return false;
    return policy_.on_the_way(name) != nullptr || (folds_ && rules().on_the_way(name) != nullptr);
  }

  // Has something of it, or above it, another name in the view?
  [[nodiscard]] bool by_mounts(const std::string& path) const {
    const auto& pairs = policy_.denied_objects().mounts().pairs();
    const auto beside = [&](const std::string& side) { return within(side, path) || within(path, side); };
    return std::ranges::any_of(pairs,
                               [&](const MountNames::Pair& pair) { return beside(pair.place) || beside(pair.other); });
  }

  static bool within_any(std::span<const std::string> roots, const std::string& path) {
    return std::ranges::any_of(roots,
                               [&](const std::string& root) { return within(path, root) || within(root, path); });
  }
  [[nodiscard]] bool within_roots(const std::string& path) const { return by_mounts(path) || within_any(roots_, path); }
  [[nodiscard]] bool is_target(const std::string& path) const { return within_any(targets_, path); }

  // What a link leads to that nobody followed may be any file.
  void refuse(const std::string& path, std::string_view why) {
    leave_out(path, why);
    if (!objects_.refuses_) objects_.left_out_ = path + " " + std::string(why);
    objects_.refuses_ = true;
  }

  void leave_out(const std::string& path, std::string_view why) {
    if (objects_.left_out_.empty()) objects_.left_out_ = path + " " + std::string(why);
  }

  void start(const std::string& path, const std::string& name) {
    const TreeNode node = tree_.look(path);
    if (node.kind == Kind::directory) folds_ = folds_ || tree_.folds(path);
    if (node.kind == Kind::directory)
      todo_.push_back({path, name});
    else if (node.kind == Kind::file)
      file(path, name, tree_.folds(std::string(parent_of(path))));
  }

  void directory(const Place& place) {
    if (!within_roots(place.path) || !interesting_below(place.name) || skipped(place) || masked(place.path)) return;
    if (place.path != place.name && guarded(place.name)) denied_path(place.path, place.name);
    std::optional<bool> folds;
    if (guarded(place.name) || on_the_way(place.name)) {
      folds = tree_.folds(place.path);
      if (*folds) add_identity(tree_.look(place.path), place.name);
    }
    unsigned parts = 0;
    const Tree::Listed listed = tree_.list(place.path, [&](std::string_view entry, Kind kind) {
      if (++entries_ > max_entries) return;
      parts |= part_of_repository(entry);
      entry_of(place, entry, kind, folds);
    });
    if (searched_ == Searched::unchangeable) repository(place, parts);
    // Of a shut directory nothing is reached as long as it stays so.
    if (listed == Tree::Listed::shut && searched_ == Searched::unchangeable) {
      const TreeNode node = tree_.look(place.path);
      objects_.shut_.insert({.dev = node.dev, .ino = node.ino});
    } else if (listed != Tree::Listed::whole) {
      leave_out(place.path, "cannot be listed");
    }
    if (entries_ > max_entries) refuse(place.path, "and more was not looked at: there are more than 10,000,000 names");
  }

  // As git's is_git_directory(); what a link or a commondir leads to is not asked, since it may come to be there.
  void repository(const Place& place, unsigned parts) {
    const bool whole = (parts & part_head) != 0 && ((parts & part_common) != 0 ||
                                                    (parts & (part_objects | part_refs)) == (part_objects | part_refs));
    const bool named = name_of(place.path) == ".git";
    if (!whole && !named) return;
    const TreeNode node = tree_.look(place.path);
    objects_.repositories_[{.dev = node.dev, .ino = node.ino}] =
        whole ? ProtectedObjects::Parts::all : ProtectedObjects::Parts::some;
    // A bare one, whatever it is called: the rules speak of .git.
    const std::string name = child(place.path, ".git");
    if (!whole || named || place.name.find("/.git/") != std::string::npos || name_of(place.name) == ".git" ||
        !add_name(place.path, name))
      return;
    git_.add_repository(place.path, name);
    todo_.push_front({place.path, name});
  }

  // What is masked cannot be listed, and nothing in it can be reached.
  [[nodiscard]] bool masked(const std::string& path) const {
    const auto masks = policy_.masks();
    return searched_ == Searched::unchangeable && std::ranges::find(masks, path) != masks.end();
  }

  // What packages put into /usr is public, and it is much: only what names such a directory is looked for there.
  [[nodiscard]] bool skipped(const Place& place) const {
    constexpr std::string_view any_name = "/\1";
    return searched_ == Searched::denied && is_vendor(place.path) && policy_.guards_no_more(place.name, any_name);
  }

  void entry_of(const Place& place, std::string_view entry, Kind kind, std::optional<bool>& folds) {
    switch (kind) {
      case Kind::link:
        return link(place, entry);
      case Kind::directory: {
        std::string name = child(place.name, entry), path = child(place.path, entry);
        // A guarded directory first: it is what matters when there is too much.
        const bool first = guarded(name) || on_the_way(name);
        if (name.size() < max_path)
          todo_.insert(first ? todo_.begin() : todo_.end(), {std::move(path), std::move(name)});
        return;
      }
      case Kind::file:
        if (searched_ == Searched::unchangeable) file_of_git(place, entry);
        [[fallthrough]];
      case Kind::other: {
        std::string name = child(place.name, entry);
        if (!guarded(name)) return;
        if (!folds) folds = tree_.folds(place.path);
        file(child(place.path, entry), name, *folds);
        return;
      }
      case Kind::absent:
        return;
    }
  }

  // Has it other names? Where names are folded it has: short ones, and others in letter case.
  void file(const std::string& path, const std::string& name, bool folds) {
    if (!guarded(name)) return;
    if (path != name) denied_path(path, name);
    const TreeNode node = tree_.look(path);
    if (node.kind == Kind::file && denies(name) && node.links > 1)
      objects_.linked_at_[{.dev = node.dev, .ino = node.ino}].insert(path);
    if (node.kind == Kind::file && (folds || node.links > 1)) add_identity(node, name);
  }

  void add_identity(const TreeNode& node, const std::string& name) {
    if (denies(name)) objects_.denies_reads_ = true;
    auto& names = objects_.files_[{.dev = node.dev, .ino = node.ino}];
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }

  // Does the name forbid to read, as far as this search is about that?
  [[nodiscard]] bool denies(const std::string& name) const {
    return searched_ == Searched::denied ||
           (searched_ == Searched::unshown && any_denied_ && policy_.guarded(Right::read, name));
  }

  void denied_path(const std::string& path, const std::string& name) {
    if (!denies(name) || policy_.guarded(Right::read, path)) return;
    bool shown = false;
    for (const Grant& grant : policy_.view()) {  // deepest last
      if (within(path, grant.path)) shown = grant.access != Grant::Access::scratch;
    }
    if (shown) objects_.denied_paths_.push_back(path);
  }

  // Does `path` guard as much as `name` already, by its own name or those that it has?
  [[nodiscard]] bool covered(const std::string& path, const std::string& name) const {
    const auto no_more = [&](const std::string& other) {
      return searched_ == Searched::unshown ? unshown().guards_no_more(name, other)
                                            : policy_.guards_no_more(name, other);
    };
    return no_more(path) || objects_.any_name(path, no_more);
  }

  bool add_name(const std::string& path, const std::string& name) {
    if (path == name || !(searched_ == Searched::unshown ? takes_unshown(path, name) : within_roots(path)) ||
        covered(path, name))
      return false;
    if (searched_ == Searched::unshown && denies(name)) objects_.denies_reads_ = true;
    if (++count_ > max_names) {
      refuse(name, "is one of more than 20,000 links at guarded names");
      return false;
    }
    objects_.names_[path].push_back(name);
    for (std::string_view above = parent_of(path); above != "/"; above = parent_of(above))
      objects_.ways_.try_emplace(std::string(above), name);
    return true;
  }

  // What a path means is what is resolved of it (`done`) and the rest (`pending`), as long as no ".." is left.
  static std::optional<std::string> spelled(const std::string& done, const std::deque<std::string>& pending) {
    std::string path = done;
    for (const std::string& part : pending) {
      if (part == "..") return std::nullopt;
      path += "/" + part;
    }
    return path.empty() ? "/" : path;
  }

  static bool is_settings(std::string_view entry) { return entry == "config" || entry == "config.worktree"; }

  void file_of_git(const Place& place, std::string_view entry) {
    if (entry == ".git" || entry == "commondir")
      link_of_git(place, entry);
    else if (entry == "gitdir")
      worktree_of_git(place);
    else if (is_settings(entry) && guarded(child(place.name, entry)))
      git_.add_settings(child(place.path, entry), place.path, place.name, 0);
  }

  // The path in a file that holds nothing else, but for what it begins with.
  std::optional<std::string> path_in(const std::string& file, std::string_view begins) {
    auto text = tree_.content(file, begins.size() + max_path);
    if (!text || !text->starts_with(begins)) return std::nullopt;
    text->erase(0, begins.size());
    text->erase(text->find_last_not_of("\r\n") + 1);
    if (text->empty() || text->find('\0') != std::string::npos) return std::nullopt;
    return text;
  }

  // The directory that a .git file names stands for a .git there; the one that a commondir names, for the repository
  // that has it.
  void link_of_git(const Place& place, std::string_view entry) {
    const bool git_file = entry == ".git";
    const auto text = path_in(child(place.path, entry), git_file ? "gitdir: " : "");
    if (!text) return;
    const std::string name = git_file ? child(place.name, entry) : place.name;
    const auto end =
        follow(child(place.path, entry), text->starts_with('/') || place.path == "/" ? std::string() : place.path,
               components(*text), name);
    if (!end) return;
    if (tree_.look(*end).kind == Kind::absent) objects_.absent_repositories_.insert(*end);
    if (git_file)
      git_.add_top(*end, place.path);
    else
      git_.add_common(place.path, *end);
    git_.add_repository(*end, name);
    // A repository that cannot be changed is not walked, and its settings hold here.
    if (git_file && !within_roots(*end)) link_of_git({*end, name}, "commondir");
  }

  // Of a linked worktree's directory in its repository: where the worktree is.
  void worktree_of_git(const Place& place) {
    const auto text = path_in(child(place.path, "gitdir"), "");
    if (text)
      git_.add_top(place.path, std::string(parent_of(text->starts_with('/') ? *text : child(place.path, *text))));
  }

  // The name that what a setting names stands for, if the rules guard any: nothing is made or changed there.
  [[nodiscard]] std::string name_for(const GitFound::Named& named) const {
    const bool settings = named.kind == GitFound::Kind::settings;
    const std::string& directory = named.guarded_name;
    const std::size_t git = directory.rfind("/.git/");
    const std::string above = git == std::string::npos ? directory : directory.substr(0, git + 5);
    for (const std::string& base : {directory, above}) {
      if (settings && protects(base + "/config.worktree")) return base + "/config.worktree";
      const std::string hooks = base + "/hooks";
      if (!protects(hooks + "/fsmonitor")) continue;
      return named.kind == GitFound::Kind::hooks ? hooks : hooks + "/fsmonitor";
    }
    return {};
  }

  // Is it guarded also where nothing stands?
  [[nodiscard]] bool protects(const std::string& name) const {
    const Verdict verdict = policy_.decide(Right::change, name);
    return verdict.act == Act::deny && verdict.rule != nullptr && !verdict.rule->keeps;
  }

  // Was there something new?
  bool follow_settings() {
    if (searched_ != Searched::unchangeable) return false;
    const std::vector<GitFound::Named> all = git_.named(tree_);
    for (const GitFound::Named& named : all) {
      const std::string name = name_for(named);
      if (name.empty()) continue;
      const auto end = follow(named.file, {}, components(named.base + "/" + named.value), name);
      if (end && named.kind == GitFound::Kind::settings)
        git_.add_settings(*end, named.repository, named.guarded_name, named.depth + 1);
    }
    return !all.empty() || !todo_.empty();
  }

  void link(const Place& place, std::string_view entry) {
    const std::string path = child(place.path, entry), name = child(place.name, entry);
    const auto end = follow(path, place.path == "/" ? "" : place.path, {std::string(entry)}, name);
    if (!end || searched_ != Searched::unchangeable) return;
    if (entry == ".git") {
      if (tree_.look(*end).kind == Kind::absent) objects_.absent_repositories_.insert(*end);
      git_.add_top(*end, place.path);
      git_.add_repository(*end, name);
    } else if (is_settings(entry) && guarded(name)) {
      git_.add_settings(*end, place.path, place.name, 0);
    }
  }

  // `pending` from the directory `done`: what the link at `path` means, which is judged by `name`. Where it leads, if
  // anywhere.
  std::optional<std::string> follow(const std::string& path, std::string done, std::deque<std::string> pending,
                                    const std::string& name, int level = 0) {
    if (name.size() >= max_path || !interesting_below(name)) return std::nullopt;
    std::vector<std::string> through;
    bool gained = false, blind = false;
    for (int links = 0; !pending.empty();) {
      const std::string part = std::move(pending.front());
      pending.pop_front();
      if (part == "..") {
        done.erase(done.empty() ? 0 : done.rfind('/'));
        continue;
      }
      const std::string here = done + "/" + part;
      const TreeNode& node = look(here);
      if (here != path) through.push_back(here);
      // Where nothing stands there may be a directory later, but no link: this is a way.
      if (node.kind != Kind::link) {
        done = here;
        continue;
      }
      if (++links > max_links) return std::nullopt;  // the kernel follows it no further either
      std::deque<std::string> target = components(node.text);
      pending.insert(pending.begin(), target.begin(), target.end());
      if (node.text.starts_with('/')) done.clear();
      while (!pending.empty() && pending.front() == "..") {
        done.erase(done.empty() ? 0 : done.rfind('/'));
        pending.pop_front();
      }
      const auto spelling = spelled(done, pending);
      if (spelling)
        gained = add_name(*spelling, name) || gained;
      else
        blind = true;
    }
    const auto end = spelled(done, pending);
    if (end) gained = add_name(*end, name) || gained;
    // A ".." behind a name leads elsewhere when another link stands by that name.
    const bool noted = gained || (blind && (guarded(name) || on_the_way(name)));
    if (noted)
      for (const std::string& way : through) objects_.ways_.try_emplace(way, name);
    if (!(gained || searched_ == Searched::unshown) || !end || !pending.empty()) return end;
    const TreeNode& node = look(*end);
    if (guarded(name) && node.kind != Kind::absent) denied_path(*end, name);
    if (searched_ == Searched::unshown) {
      if (node.kind == Kind::directory) later({*end, name, level});
      if (node.kind == Kind::file && !is_vendor(*end)) file_unshown(*end, name, level);
      return end;
    }
    if (node.kind == Kind::directory) todo_.push_front({*end, name});
    if (node.kind == Kind::file) file(*end, name, tree_.folds(std::string(parent_of(*end))));
    return end;
  }

  const Policy& policy_;
  Tree& tree_;
  const Searched searched_;
  std::vector<std::string> roots_, targets_;  // what is walked; where another name means something
  std::deque<Place> todo_;
  std::unordered_set<std::string> walked_;  // of what the view does not show: there whatever a link leads to is walked
  ProtectedObjects objects_;
  GitFound git_;
  std::size_t entries_ = 0, count_ = 0;
  std::vector<Tour> tours_;  // of what the view does not show: one for each name that rules begin at
  std::size_t tour_ = 0, deep_entries_ = 0, looks_ = 0;
  std::unordered_map<std::string, TreeNode> nodes_;  // of what the view does not show
  TreeNode node_;                                    // else: the last one
  const bool any_denied_ = policy_.may_deny_below("/");
  bool folds_ = false;  // one of the roots folds names: all are then looked for folded
};

ProtectedObjects find_protected(const Policy& policy, Tree& tree, Searched searched) {
  return ObjectSearch(policy, tree, searched).run();
}

}  // namespace agentrun::policy
