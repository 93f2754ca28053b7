// exec.allow, exec.deny, exec.ask and exec.pin become rules, bound to patterns of programs and of their arguments.
#include <agentrun/profile/fail.h>
#include "policy/compile/draft.h"
#include "policy/search/unshown.h"

namespace agentrun::policy {

namespace {

struct ExecList {
  Section section;
  profile::ExecRules profile::Exec::*rules;
  Layer layer;                // of a rule that is only about the path
  std::optional<Layer> some;  // of one with arguments, where the path counts also by itself
  Action act;
};
constexpr ExecList exec_lists[] = {
    {Section::exec_deny, &profile::Exec::deny, Layer::exec_deny, std::nullopt, Action::deny},
    {Section::exec_allow, &profile::Exec::allow, Layer::exec_allow, Layer::exec_allow_some, Action::allow},
    {Section::exec_ask, &profile::Exec::ask, Layer::exec_ask, std::nullopt, Action::ask},
};

std::string text_of(const std::string& path, const std::vector<std::string>& argv) {
  std::string text = path + " [";
  for (std::size_t i = 0; i < argv.size(); ++i) text.append(i == 0 ? "" : ", ").append(argv[i]);
  return text + "]";
}

void add_exec_rule(Draft& draft, const Item& item, const profile::ExecRule& written, const ExecList& list) {
  const Origin origin = item.origin();
  const Meaning meaning = expand(written.value, draft.variables, origin);
  const Enforcer enforcer = list.act == Action::allow && !written.argv ? Enforcer::kernel : Enforcer::broker;
  const std::string meant = written.argv ? text_of(meaning.text, *written.argv) : meaning.text;
  const std::size_t rule = add_rule(draft, item, meant, list.act, enforcer);
  if (written.argv)
    draft.rules[rule].pattern = text_of(written.value, *written.argv);
  else
    draft.rules[rule].path = single_path(meaning);
  Draft::Condition condition{.patterns = {}, .argv = written.argv.value_or(std::vector<std::string>{}), .rule = rule};
  for (const std::string& word : condition.argv) {
    if (const auto fault = Glob::fault(word); word != "**" && fault)
      profile::fail(origin.place, origin.key + ".argv", *fault, "write one glob a word; ** is any number of words");
  }
  for (const PathPattern& alternative : meaning.alternatives) {
    if (list.act == Action::allow) refuse_planted_links(draft, alternative.literal_prefix(), origin);
    for (const PathPattern& pattern : with_links(draft.facts, alternative)) {
      if (!written.argv)
        draft.bound.push_back({pattern, list.layer, rule});
      else if (list.some)
        draft.bound.push_back({pattern, *list.some, rule});
      condition.patterns.push_back(pattern);
    }
  }
  if (written.argv) draft.conditions.push_back(std::move(condition));
}

void add_lists(Draft& draft, const profile::Profile& profile) {
  for (const ExecList& list : exec_lists) {
    const profile::ExecRules& rules = profile.exec.*list.rules;
    for (std::size_t i = 0; i < rules.size(); ++i)
      add_exec_rule(draft, Item{profile, list.section, i, rules[i]}, rules[i], list);
  }
}

// A pinned program is protected too: what was hashed when it was started must stay what it is.
void add_pins(Draft& draft, const profile::Profile& profile) {
  for (std::size_t i = 0; i < profile.exec.pin.size(); ++i) {
    const auto& [written, digest] = profile.exec.pin[i];
    const Item item{profile, Section::exec_pin, i, written};
    const Meaning meaning = expand(written.value, draft.variables, item.origin());
    const std::size_t rule = add_rule(draft, item, meaning.text, Action::deny, Enforcer::broker);
    for (const PathPattern& alternative : meaning.alternatives) {
      if (!alternative.is_literal())
        profile::fail(written.place, item.key(), "a pattern, not a path", "pin each program by its path");
      // The digest proves a content, not that the name still means this program.
      if (through_agents_link(draft, alternative.literal_prefix()))
        profile::fail(written.place, item.key(),
                      alternative.literal_prefix() + " leads through a link that an agent may have made",
                      "pin the program where it is: name where the link leads");
      for (const PathPattern& pattern : with_links(draft.facts, alternative)) {
        guard(draft, pattern, Layer::files_protect, rule);
        add_unshown(draft, pattern, Layer::files_protect, rule);
        draft.pins.push_back({pattern.literal_prefix(), digest.substr(digest.find(':') + 1), rule});
      }
    }
  }
}

}  // namespace

void add_exec_rules(Draft& draft, const profile::Profile& profile) {
  add_lists(draft, profile);
  add_pins(draft, profile);
}

}  // namespace agentrun::policy
