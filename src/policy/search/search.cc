// The search for protected objects, by what is searched.
#include "policy/search/unshown_search.h"
#include "policy/search/view_search.h"

namespace agentrun::policy {

ProtectedObjects find_protected(const Policy& policy, Tree& tree, Searched searched) {
  if (searched == Searched::unshown) return UnshownSearch(policy, tree).run();
  return ViewSearch(policy, tree, searched).run();
}

}  // namespace agentrun::policy
