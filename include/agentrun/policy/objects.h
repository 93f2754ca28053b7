// Protected objects: what files.deny, files.protect and files.keep guard beyond the names that their patterns match. A link
// that stands at a guarded name leads to a file by another name, a hard link is another name, and a file system that folds
// letter case has many. Each object has, beside its own name, the guarded names that it stands for; it is judged by all.
// Pure: the file system is looked at through Tree.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <agentrun/policy.h>
#include <agentrun/sys/tree.h>

namespace agentrun::policy {

/// The rules of files.deny, protect and keep for directories in which a file system takes several spellings for one name.
class FoldedRules {
 public:
  /// The rule that stops `right` on the path, in whatever spelling; files.keep counts with Age::before. Null: none.
  [[nodiscard]] const Rule* denies(Right right, std::string_view path, Age age) const;
  /// As Policy::on_the_way and Policy::may_guard_below.
  [[nodiscard]] const Rule* on_the_way(std::string_view path) const;
  [[nodiscard]] bool may_guard_below(std::string_view path) const;

  struct Data;
  std::shared_ptr<const Data> data_;  // null: no rules
};

class ProtectedObjects {
 public:
  /// A denial by a name that the object stands for.
  struct Denial {
    Verdict verdict;
    std::string name;  // the guarded name, absolute: "/ws/.env" for the file that the link .env leads to
  };
  struct Identity {
    std::uint64_t dev = 0, ino = 0;
    friend auto operator<=>(const Identity&, const Identity&) = default;
  };

  /// The denial of `right` by one of the names that stand for `path` (canonical, as for Policy::decide), but not by `path`
  /// itself. files.keep counts as with Policy::decide.
  [[nodiscard]] std::optional<Denial> denies(const Policy& policy, Right right, std::string_view path, Age age) const;
  /// The same for an object, whatever its path: it is, or was at start, a hard link of a guarded file.
  [[nodiscard]] std::optional<Denial> denies(const Policy& policy, Right right, Identity object, Age age) const;
  /// The same for the name `name` in a directory that is a guarded one, or leads to one, by its identity.
  [[nodiscard]] std::optional<Denial> denies(const Policy& policy, Right right, Identity directory, std::string_view name, Age age) const;
  /// As Policy::may_guard_below, for the other names.
  [[nodiscard]] bool may_guard_below(const Policy& policy, std::string_view path) const;
  /// As Policy::on_the_way, for the other names.
  [[nodiscard]] std::optional<Denial> on_the_way(const Policy& policy, std::string_view path) const;

  /// Is it a directory that could not be listed at start, and must not become one that can?
  [[nodiscard]] bool is_shut(Identity object) const { return shut_.contains(object); }

  [[nodiscard]] bool empty() const noexcept { return names_.empty() && files_.empty() && ways_.empty(); }
  [[nodiscard]] bool has_identities() const noexcept { return !files_.empty(); }
  /// Empty when all was looked at; else what was not, as a sentence.
  [[nodiscard]] const std::string& left_out() const noexcept { return left_out_; }
  /// Of Policy::denied_objects(): the rules for file systems that fold names.
  [[nodiscard]] const FoldedRules& folded() const noexcept { return folded_; }
  void set_folded(FoldedRules rules) { folded_ = std::move(rules); }
  /// Existing paths that files.deny denies by another name than their own.
  [[nodiscard]] const std::vector<std::string>& denied_paths() const noexcept { return denied_paths_; }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };
  template <typename T>
  using ByPath = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

 private:
  friend class ObjectSearch;
  bool any_name(std::string_view path, const std::function<bool(const std::string&)>& holds) const;

  ByPath<std::vector<std::string>> names_;          // a path → the names that it stands for, with all below it
  ByPath<std::string> ways_;                        // a directory on the way to such a path → one of those names
  std::map<Identity, std::vector<std::string>> files_;  // a guarded object with another name → its guarded names
  std::set<Identity> shut_;
  std::vector<std::string> denied_paths_;
  std::string left_out_;
  FoldedRules folded_;
};

/// What is searched for: what files.deny guards in all that the view shows of the host (but for the directories of packages,
/// /usr and the like, when a pattern matches anywhere), or what is guarded from change where the agent may write.
enum class Searched : std::uint8_t { denied, unchangeable };

/// Looks at the host, without an end to links: chains, links inside guarded directories, links on the way to them, links that
/// lead to nothing. What was not looked at, for it is too much or cannot be listed, is told by left_out().
ProtectedObjects find_protected(const Policy& policy, Tree& tree, Searched searched);

}  // namespace agentrun::policy
