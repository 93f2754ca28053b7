#include <algorithm>

#include <agentrun/review.h>

namespace agentrun::review {

namespace {

using Kind = Entry::Kind;

bool is_within(std::string_view path, std::string_view folder) {
  return folder.empty() || (path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/'));
}

// Empty: it is to be applied.
std::string why_left(const Change& change, const Choice& choice) {
  if (!change.refused.empty()) return change.refused;
  if (change.conflict && !choice.host_changes) return "the host changed it after the run had begun: --force overwrites it";
  const bool named = std::any_of(choice.named.begin(), choice.named.end(), [&](const Choice::Named& name) {
    return name.target == change.target && name.path == change.path;
  });
  if (change.group == Group::trusted && !choice.trusted && !named) return "the host would run or trust it: name it, or --trusted for all";
  return {};
}

// A file cannot be applied without the new folders above it.
bool is_needed_by(const Change& folder, const std::vector<Change>& chosen) {
  if (folder.after.kind != Kind::folder || folder.before.kind != Kind::absent || !folder.refused.empty()) return false;
  return std::any_of(chosen.begin(), chosen.end(), [&](const Change& change) {
    return change.target == folder.target && is_within(change.path, folder.path);
  });
}

}  // namespace

Chosen choose(const std::vector<Change>& changes, const Choice& choice) {
  Chosen result;
  std::vector<Change> above;
  for (const Change& change : changes) {
    const bool asked = choice.named.empty() || std::any_of(choice.named.begin(), choice.named.end(), [&](const Choice::Named& name) {
      return name.target == change.target && is_within(change.path, name.path);
    });
    if (!asked) {
      above.push_back(change);
      continue;
    }
    std::string why = why_left(change, choice);
    if (why.empty()) result.apply.push_back(change);
    else result.left.push_back({change, std::move(why)});
  }
  std::erase_if(above, [&](const Change& change) { return !is_needed_by(change, result.apply); });
  result.apply.insert(result.apply.end(), above.begin(), above.end());
  return result;
}

}  // namespace agentrun::review
