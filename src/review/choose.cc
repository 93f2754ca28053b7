// Decides which changes `apply` carries out, and says why the others stay.
#include <algorithm>
#include <set>

#include <agentrun/review.h>
#include <agentrun/sys/paths.h>

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

// Why the change is not applied; empty: it is.
std::string why_left(const Change& change, const Choice& choice) {
  if (!change.refused.empty()) return change.refused;
  if (change.conflict && !choice.host_changes) return "the host changed it after the run began: --force overwrites it";
  const bool named = std::any_of(choice.named.begin(), choice.named.end(), [&](const Choice::Named& name) {
    return name.target == change.target && name.path == change.path;
  });
  if (change.group == Group::trusted && !choice.trusted && !named)
    return "the host would run or trust it: name it, or use --trusted for all";
  return {};
}

using Directories = std::set<std::pair<std::size_t, std::string>>;

Directories directories_above(const std::vector<Change>& chosen) {
  Directories directories;
  for (const Change& change : chosen) {
    std::string path = change.path;
    for (std::size_t slash; (slash = path.rfind('/')) != std::string::npos;) {
      path.resize(slash);
      if (!directories.emplace(change.target, path).second) break;  // its parents are in the set already
    }
  }
  return directories;
}

// A file cannot be applied without the new directories above it.
bool is_needed(const Change& directory, const Directories& above) {
  const bool fresh =
      directory.after.kind == Kind::directory && directory.before.kind == Kind::absent && directory.refused.empty();
  return fresh && above.contains({directory.target, directory.path});
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
  const Directories needed = directories_above(result.apply);
  std::erase_if(above, [&](const Change& change) { return !is_needed(change, needed); });
  result.apply.insert(result.apply.end(), above.begin(), above.end());
  return result;
}

}  // namespace agentrun::review
