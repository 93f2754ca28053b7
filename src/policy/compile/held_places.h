// Patterns that stand for several places at once: every directory that the agent may change, the home directory as far
// as it may change it, and what git uses there.
#pragma once

#include <optional>

#include "policy/compile/draft.h"

namespace agentrun::policy {

/// What a pattern of files.deny, protect or keep that begins with ${writable}, ${writable-home}, ${git}, ${git-named}
/// or ${path} means with the grants of this draft; nullopt for any other pattern. `alternatives` may be empty: then the
/// rule has no object in this run. Throws ProfileError for a malformed pattern; and, for files.protect, when it covers
/// a grant whole: nothing in that grant could be written, and who grants it means something else.
std::optional<Meaning> expand_places(Draft& draft, const Item& item, Layer layer);

}  // namespace agentrun::policy
