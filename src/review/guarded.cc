// What is guarded by more than its own name: links of the host lead into an overlay, settings of git name what is in
// it.
#include <filesystem>

#include <agentrun/review.h>

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

// A new directory is only a place for what is in it, which is judged by itself.
bool is_new_folder(const Change& change) {
  return change.before.kind == Kind::absent && change.after.kind == Kind::folder;
}

// The guarded name that the change is about; nothing when there is none.
std::string name_of(const Change& change, const Target& target, const HostNames& names) {
  const std::filesystem::path path = target.path + "/" + change.path;
  if (std::string name = names.guarded(path.string()); !name.empty()) return name;
  // A directory in place of a link, or a link in place of a directory: what is behind it is another file from now on.
  if (change.before.kind != change.after.kind) {
    if (std::string name = names.on_the_way(path.string()); !name.empty()) return name;
  }
  // What is written through the link later on would be written there.
  if (change.after.kind != Kind::link) return {};
  return names.guarded((path.parent_path() / change.after.link).lexically_normal().string());
}

}  // namespace

void mark_guarded(std::vector<Change>& changes, const std::vector<Target>& targets, const HostNames& names) {
  for (Change& change : changes) {
    const bool judged = change.difference != Difference::time && !is_new_folder(change);
    if (!judged || change.group == Group::trusted) continue;
    const std::string name = name_of(change, targets[change.target], names);
    if (name.empty() && names.left_out.empty()) continue;
    change.group = Group::trusted;
    if (name != targets[change.target].path + "/" + change.path) change.stands_for = name;
  }
}

}  // namespace agentrun::review
