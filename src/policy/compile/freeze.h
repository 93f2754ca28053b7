// Draft → Policy::Data: rules get their final place, and everything that named a rule by its index points to it.
#pragma once

#include <span>

#include "policy/compile/draft.h"
#include "policy/compile/settings.h"
#include "policy/policy_data.h"

namespace agentrun::policy {

/// First, and once: takes the rules out of the draft. After it no rule can be added.
void freeze_rules(Draft& draft, Policy::Data& into);
/// After freeze_rules().
void freeze_view(std::span<const Shown> view, Masks masks, Policy::Data& into);
/// After freeze_rules().
void freeze_settings(const Settings& settings, Policy::Data& into);

}  // namespace agentrun::policy
