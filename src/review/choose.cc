#include <algorithm>
#include <set>

#include <agentrun/review.h>
#include <agentrun/sys/paths.h>

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

// Empty: it is to be applied.
std::string why_left(const Change& change, const Choice& choice) {
  if (!change.refused.empty()) return change.refused;
  if (change.conflict && !choice.host_changes)
    return "the host changed it after the run had begun: --force overwrites it";
  const bool named = std::any_of(choice.named.begin(), choice.named.end(), [&](const Choice::Named& name) {
    return name.target == change.target && name.path == change.path;
  });
  if (change.group == Group::trusted && !choice.trusted && !named)
    return "the host would run or trust it: name it, or --trusted for all";
  return {};
}

using Folders = std::set<std::pair<std::size_t, std::string>>;

Folders folders_above(const std::vector<Change>& chosen) {
  Folders folders;
  for (const Change& change : chosen) {
    std::string path = change.path;
    for (std::size_t slash; (slash = path.rfind('/')) != std::string::npos;) {
      path.resize(slash);
      if (!folders.emplace(change.target, path).second) break;  // then those above it are there, too
    }
  }
  return folders;
}

// A file cannot be applied without the new folders above it.
bool is_needed(const Change& folder, const Folders& above) {
  const bool fresh = folder.after.kind == Kind::folder && folder.before.kind == Kind::absent && folder.refused.empty();
  return fresh && above.contains({folder.target, folder.path});
}

}  // namespace

Chosen choose(const std::vector<Change>& changes, const Choice& choice) {
  Chosen result;
  std::vector<Change> above;
  for (const Change& change : changes) {
    const bool asked =
        choice.named.empty() || std::any_of(choice.named.begin(), choice.named.end(), [&](const Choice::Named& name) {
          return name.target == change.target && (name.path.empty() || within(change.path, name.path));
        });
    if (!asked) {
      above.push_back(change);
      continue;
    }
    std::string why = why_left(change, choice);
    if (why.empty())
      result.apply.push_back(change);
    else
      result.left.push_back({change, std::move(why)});
  }
  const Folders needed = folders_above(result.apply);
  std::erase_if(above, [&](const Change& change) { return !is_needed(change, needed); });
  result.apply.insert(result.apply.end(), above.begin(), above.end());
  return result;
}

}  // namespace agentrun::review
