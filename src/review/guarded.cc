// Marks changes of objects that have a guarded name elsewhere: links of the host lead into an overlay, settings of git
// name files in it.
#include <filesystem>

#include <agentrun/review.h>

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

// A new directory alone does nothing. Its content is judged by itself.
bool is_new_directory(const Change& change) {
  return change.before.kind == Kind::absent && change.after.kind == Kind::directory;
}

// The guarded name that the change affects; empty: none.
std::string name_of(const Change& change, const Target& target, const HostNames& names) {
  const std::filesystem::path path = target.path + "/" + change.path;
  if (std::string name = names.guarded(path.string()); !name.empty()) return name;
  // A directory replaces a link, or a link a directory: names below it lead to other files from now on.
  if (change.before.kind != change.after.kind) {
    if (std::string name = names.on_the_way(path.string()); !name.empty()) return name;
  }
  // A later write through the link would go to its target.
  if (change.after.kind != Kind::link) return {};
  return names.guarded((path.parent_path() / change.after.link).lexically_normal().string());
}

}  // namespace

void mark_guarded(std::vector<Change>& changes, const std::vector<Target>& targets, const HostNames& names) {
  for (Change& change : changes) {
    const bool judged = change.difference != Difference::time && !is_new_directory(change);
    if (!judged || change.group == Group::trusted) continue;
    const std::string name = name_of(change, targets[change.target], names);
    if (name.empty() && names.left_out.empty()) continue;
    change.group = Group::trusted;
    if (name != targets[change.target].path + "/" + change.path) change.stands_for = name;
  }
}

}  // namespace agentrun::review
