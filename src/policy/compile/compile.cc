// Profiles → policy. Rules are collected as a draft, bound to patterns, and then frozen.
#include <algorithm>
#include <numeric>
#include <set>

#include <agentrun/profile/fail.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/paths.h>
#include "policy/compile/draft.h"
#include "policy/compile/environment.h"
#include "policy/compile/held_places.h"
#include "policy/match/folded.h"
#include "policy/policy_data.h"
#include "policy/search/unshown.h"

namespace agentrun::policy {

namespace {

using Chain = std::vector<const profile::Profile*>;

// A file that two asked-for profiles both extend comes once; two files of one name would give rules of one id.
Chain unite(std::span<const profile::Profile> profiles) {
  Chain chain;
  for (const profile::Profile& profile : profiles) {
    profile::refuse_unbuilt(profile);
    const auto same =
        std::find_if(chain.begin(), chain.end(), [&](const profile::Profile* p) { return p->name == profile.name; });
    if (same == chain.end()) {
      chain.push_back(&profile);
    } else if ((*same)->place.file != profile.place.file || (*same)->text != profile.text || profile.text.empty()) {
      profile::fail(profile.place, "name", "\"" + profile.name + "\" is also the name of " + (*same)->place.text(),
                    "give one of them another name");
    }
  }
  return chain;
}

Variables variables_of(const HostFacts& facts) {
  Variables variables;
  if (facts.home.starts_with('/')) variables.home = facts.home;
  if (facts.workspace.starts_with('/')) variables.workspace = facts.workspace;
  const auto agent = facts.environment.find("SSH_AUTH_SOCK");
  if (agent != facts.environment.end() && agent->second.starts_with('/')) variables.ssh_auth_sock = agent->second;
  return variables;
}

struct List {
  Section section;
  profile::Patterns profile::Files::*patterns;
  Layer layer;
};
constexpr List file_lists[] = {
    {Section::files_deny, &profile::Files::deny, Layer::files_deny},
    {Section::files_protect, &profile::Files::protect, Layer::files_protect},
    {Section::files_keep, &profile::Files::keep, Layer::files_keep},
};
struct ExecList {
  Section section;
  profile::ExecRules profile::Exec::*rules;
  Layer layer;                // of a rule that is only about the path
  std::optional<Layer> some;  // of one with arguments, where the path counts also by itself
  Act act;
};
constexpr ExecList exec_lists[] = {
    {Section::exec_deny, &profile::Exec::deny, Layer::exec_deny, std::nullopt, Act::deny},
    {Section::exec_allow, &profile::Exec::allow, Layer::exec_allow, Layer::exec_allow_some, Act::allow},
    {Section::exec_ask, &profile::Exec::ask, Layer::exec_ask, std::nullopt, Act::ask},
};
// What starts with this label; masks.cc and view.cc find where the other one is true.
constexpr Label first_label(Layer layer) {
  return layer == Layer::files_protect || layer == Layer::files_keep ? Label::broker : Label::kernel;
}

// A protected path comes to be also when the agent makes a link or a file of a folder above it that is not there yet,
// or that is a file now (a `.git` that names another folder).
void protect_folders_to_be(Draft& draft, const PathPattern& pattern, std::size_t rule) {
  if (!pattern.is_literal()) return;
  const auto is_writable = [&](std::string_view path) {
    return std::any_of(draft.claims.begin(), draft.claims.end(), [&](const Draft::Claim& claim) {
      return changes_host(claim.access) && within(path, claim.path);
    });
  };
  const std::string path = pattern.literal_prefix();
  for (std::string_view above = parent_of(path); is_writable(above); above = parent_of(above)) {
    const std::string folder(above);
    if (exists(draft.facts, folder) && (!draft.facts.is_folder || draft.facts.is_folder(folder))) return;
    draft.bound.push_back({literal_pattern(above, Scope::self), Layer::files_protect, rule});
  }
}

// The folders that a pattern names on the way to what it guards: `.git` of `**/.git/hooks/**`. A link by such a name
// would let another folder stand in for the guarded one, which then has another path.
void guard_the_way(Draft& draft, const PathPattern& pattern, std::size_t rule) {
  const std::size_t all = pattern.components.size();
  const std::size_t longest = pattern.scope == Scope::below ? all : all - std::min<std::size_t>(all, 1);
  for (std::size_t size = longest; size > 0; --size) {
    if (pattern.components[size - 1].kind == Component::Kind::any) continue;
    PathPattern way{
        .components = {pattern.components.begin(), pattern.components.begin() + static_cast<std::ptrdiff_t>(size)},
        .scope = Scope::self};
    draft.bound.push_back({std::move(way), Layer::way, rule});
  }
}

}  // namespace

void guard(Draft& draft, PathPattern pattern, Layer layer, std::size_t rule) {
  if (layer == Layer::files_keep) {
    // A file has nothing below it, and a folder by its name (.git) is not meant.
    if (pattern.scope == Scope::self_and_below) pattern.scope = Scope::self;
    draft.bound.push_back({std::move(pattern), layer, rule});
    return;
  }
  draft.bound.push_back({pattern, layer, rule});
  guard_the_way(draft, pattern, rule);
  if (layer == Layer::files_protect) protect_folders_to_be(draft, pattern, rule);
}

namespace {

// What is guarded in a directory that a run may be about, for hard links at any depth.
void add_as_workspace(Draft& draft, const Item& item, std::size_t rule) {
  for (const std::string_view place : {"${workspace}/", "${writable}/"}) {
    if (!item.pattern.value.starts_with(place)) continue;
    const std::string anywhere = "**/" + item.pattern.value.substr(place.size());
    for (PathPattern& pattern : expand(anywhere, draft.variables, item.origin()).alternatives)
      draft.bound.push_back({std::move(pattern), Layer::as_workspace, rule});
  }
}

void add_list(Draft& draft, const profile::Profile& profile, const List& list) {
  const profile::Patterns& patterns = profile.files.*list.patterns;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const Item item{profile, list.section, i, patterns[i]};
    auto places = expand_places(draft, item, list.layer);
    const bool is_place = places.has_value();
    const Meaning meaning = places ? *std::move(places) : expand(patterns[i].value, draft.variables, item.origin());
    const std::size_t rule = add_rule(draft, item, meaning.text, Act::deny, first_label(list.layer));
    draft.rules[rule].keeps = list.layer == Layer::files_keep;
    if (list.layer != Layer::files_keep) add_as_workspace(draft, item, rule);
    for (const PathPattern& written : meaning.alternatives) {
      for (const PathPattern& pattern : with_links(draft.facts, written)) guard(draft, pattern, list.layer, rule);
    }
    // What files.keep guards is there already, where it is shown.
    if (list.layer == Layer::files_keep) continue;
    for (const PathPattern& pattern : is_place ? meaning.unshown : meaning.alternatives)
      add_unshown(draft, pattern, list.layer, rule);
  }
}

std::string text_of(const std::string& path, const std::vector<std::string>& argv) {
  std::string text = path + " [";
  for (std::size_t i = 0; i < argv.size(); ++i) text.append(i == 0 ? "" : ", ").append(argv[i]);
  return text + "]";
}

void add_exec_rule(Draft& draft, const Item& item, const profile::ExecRule& written, const ExecList& list) {
  const Origin origin = item.origin();
  const Meaning meaning = expand(written.value, draft.variables, origin);
  const Label label = list.act == Act::allow && !written.argv ? Label::kernel : Label::broker;
  const std::string meant = written.argv ? text_of(meaning.text, *written.argv) : meaning.text;
  const std::size_t rule = add_rule(draft, item, meant, list.act, label);
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
    if (list.act == Act::allow) refuse_planted_links(draft, alternative.literal_prefix(), origin);
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

void add_exec_lists(Draft& draft, const profile::Profile& profile) {
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
    const std::size_t rule = add_rule(draft, item, meaning.text, Act::deny, Label::broker);
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

Policy::Source source_of(const profile::Profile& profile) {
  return {profile.name, profile.place.file, profile.sha256, profile.author};
}

// Numbers the rules so that the choice among equally deep matches does not depend on the order they were written in.
std::vector<std::uint32_t> rank(const std::vector<Rule>& rules) {
  std::vector<std::uint32_t> order(rules.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto key = [&](std::uint32_t i) {
    return std::tuple<std::string_view, std::string_view, std::string_view, std::string_view>(
        rules[i].meant, rules[i].pattern, rules[i].profile, name(rules[i].section));
  };
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  return order;
}

Matcher freeze(const Draft& draft, const std::vector<std::uint32_t>& by_rank) {
  std::vector<std::uint32_t> rank_of(by_rank.size());
  for (std::uint32_t r = 0; r < by_rank.size(); ++r) rank_of[by_rank[r]] = r;
  Matcher::Builder builder;
  for (const auto& [pattern, layer, rule] : draft.bound) builder.add(pattern, number(layer), rank_of[rule]);
  return builder.build();
}

ExecCondition frozen(const Draft::Condition& condition, const std::vector<Rule>& rules) {
  Matcher::Builder builder;
  for (const PathPattern& pattern : condition.patterns) builder.add(pattern, 0, 0);
  return {.path = builder.build(), .arguments = ArgumentsPattern(condition.argv), .rule = &rules[condition.rule]};
}

}  // namespace

std::size_t add_rule(Draft& draft, const Item& item, std::string meant, Act act, Label label) {
  draft.rules.push_back({.id = item.profile.name + ":" + item.key(),
                         .section = item.section,
                         .index = item.index,
                         .author = item.profile.author,
                         .profile = item.profile.name,
                         .pattern = item.pattern.value,
                         .meant = std::move(meant),
                         .place = item.pattern.place,
                         .act = act,
                         .label = label});
  return draft.rules.size() - 1;
}

std::size_t add_built_in(Draft& draft, Section group, std::size_t index, std::string pattern, Label label) {
  draft.rules.push_back({.id = built_in_prefix(group) + std::to_string(index) + "]",
                         .section = group,
                         .index = index,
                         .author = profile::Author::shipped,
                         .profile = std::string(built_in_profile),
                         .pattern = pattern,
                         .meant = pattern,
                         .place = {},
                         .act = Act::allow,
                         .label = label});
  return draft.rules.size() - 1;
}

std::size_t add_value(Draft& draft, const profile::Profile& profile, Value value, Act act, Label label) {
  draft.rules.push_back({.id = profile.name + ":" + key_of(value.section, 0),
                         .section = value.section,
                         .index = 0,
                         .author = profile.author,
                         .profile = profile.name,
                         .pattern = std::move(value.pattern),
                         .meant = std::move(value.meant),
                         .place = std::move(value.place),
                         .act = act,
                         .label = label});
  return draft.rules.size() - 1;
}

Origin origin_of(const Rule& rule) {
  return {rule.place, key_of(rule.section, rule.index)};
}

std::string single_path(const Meaning& meaning) {
  const bool single = meaning.alternatives.size() == 1 && meaning.alternatives[0].is_literal() &&
                      meaning.alternatives[0].scope != Scope::below;
  return single ? meaning.alternatives[0].literal_prefix() : std::string();
}

bool exists(const HostFacts& facts, const std::string& path) {
  return facts.canonical && facts.canonical(path).has_value();
}

std::string resolve(const HostFacts& facts, const std::string& path) {
  if (!facts.canonical) return path;
  for (std::string_view above = path;; above = parent_of(above)) {
    if (auto canonical = facts.canonical(std::string(above))) {
      const std::string_view rest = std::string_view(path).substr(above == "/" ? 0 : above.size());
      if (rest.empty() || rest == "/") return *canonical;
      return *canonical == "/" ? std::string(rest) : *canonical + std::string(rest);
    }
    if (above == "/") return path;
  }
}

std::vector<PathPattern> with_links(const HostFacts& facts, const PathPattern& pattern) {
  std::vector<PathPattern> both = {pattern};
  const std::string prefix = pattern.literal_prefix();
  const std::string canonical = resolve(facts, prefix);
  if (canonical != prefix) both.push_back(pattern.with_prefix(canonical));
  return both;
}

namespace {

// The values of which there is one. The last profile that says something wins, so that a child can change its parent's;
// but what a parent forbids (exec.writable: deny, exec.memfd: deny), bounds (limits) or wants audited (audit.reads), a
// child cannot drop.
struct Settings {
  std::optional<profile::Written<profile::Reads>> reads;
  Policy::Limits limits;
  std::optional<std::size_t> no_exec;  // a rule
  std::optional<std::size_t> memfd;    // a rule
  std::optional<profile::WorkspaceMode> mode;
};

template <typename T>
void tighten(std::optional<T>& bound, const std::optional<profile::Written<T>>& other) {
  if (other && (!bound || other->value < *bound)) bound = other->value;
}

void tighten(Policy::Limits& bounds, const profile::Limits& other) {
  tighten(bounds.wall_seconds, other.wall);
  tighten(bounds.open_files, other.open_files);
  tighten(bounds.core, other.core);
  tighten(bounds.memory, other.memory);
  tighten(bounds.tasks, other.tasks);
  tighten(bounds.cpus, other.cpus);
}

void add_memfd(Settings& settings, Draft& draft, const profile::Profile& profile) {
  if (!profile.exec.memfd) return;
  const bool allows = profile.exec.memfd->value == profile::MemfdExec::allow;
  if (settings.memfd && draft.rules[*settings.memfd].act == Act::deny) return;
  const std::string word = allows ? "allow" : "deny";
  settings.memfd = add_value(draft, profile, {Section::exec_memfd, word, word, profile.exec.memfd->place},
                             allows ? Act::allow : Act::deny, Label::broker);
}

Settings settings_of(Draft& draft, const Chain& chain) {
  Settings settings;
  for (const profile::Profile* profile : chain) {
    const bool stricter = profile->reads && (!settings.reads || profile->reads->value < settings.reads->value);
    if (stricter) settings.reads = profile->reads;
    tighten(settings.limits, profile->limits);
    if (profile->workspace.mode) settings.mode = profile->workspace.mode->value;
    add_memfd(settings, draft, *profile);
    if (!profile->exec.writable) continue;
    if (profile->exec.writable->value == profile::WritableExec::allow) continue;
    settings.no_exec =
        add_value(draft, *profile, {Section::exec_writable, "deny", "deny", profile->exec.writable->place}, Act::deny,
                  Label::kernel);
  }
  return settings;
}

std::vector<std::string> weakenings_of(const Chain& chain) {
  std::set<std::string> names;
  for (const profile::Profile* profile : chain) {
    for (const profile::Pattern& weakening : profile->weaken) names.insert(weakening.value);
  }
  return {names.begin(), names.end()};
}

Policy::Journal journal_of(const Chain& chain) {
  Policy::Journal journal;
  std::set<std::string> globs;
  for (const profile::Profile* profile : chain) {
    if (profile->durability && profile->durability->value == "synced") journal.synced = true;
    for (const profile::Pattern& glob : profile->redact) globs.insert(glob.value);
    for (const profile::Pattern& url : profile->sinks) {
      const bool known = std::ranges::find(journal.sinks, url.value, &profile::Pattern::value) != journal.sinks.end();
      if (!known) journal.sinks.push_back(url);
    }
  }
  journal.redact.assign(globs.begin(), globs.end());
  return journal;
}

Destination destination_of(const profile::Published& published) {
  Destination at{.v6 = published.address.v6, .address = {}, .port = published.port};
  std::copy(published.address.address.begin(), published.address.address.end(), at.address);
  return at;
}

// Of the host's mounts, those that give what the view shows another name.
MountNames mounts_of(const HostFacts& facts, std::span<const Shown> view) {
  MountNames mounts = facts.tree == nullptr ? MountNames() : facts.tree->mount_names();
  mounts.restrict_to([&](const std::string& place, const std::string& other) {
    return std::ranges::any_of(view, [&](const Shown& shown) {
      const auto beside = [&](const std::string& side) { return within(side, shown.path) || within(shown.path, side); };
      return shown.access != Grant::Access::scratch && (beside(place) || beside(other));
    });
  });
  return mounts;
}

// What links and hard links at denied names lead to is masked as those are; by whatever name it is read, the broker
// denies it. And what of the host's names that are not shown has other names in the view.
struct Found {
  ProtectedObjects& objects;
  std::vector<std::string>& masks;
  bool& reads_need_broker;
  bool& denies_later;
};
void refuse_unknown(const ProtectedObjects& objects) {
  if (!objects.refuses()) return;
  throw Refusal("what links at guarded names lead to is not all known: " + objects.left_out(),
                "remove what is too much there, or grant less");
}

void find_objects(const Policy& policy, const HostFacts& facts, const Found& found) {
  if (facts.tree == nullptr) return;
  ProtectedObjects unshown;
  if (!found.objects.unshown().beginnings().empty()) unshown = find_protected(policy, *facts.tree, Searched::unshown);
  refuse_unknown(unshown);
  ProtectedObjects denied;
  if (found.denies_later) denied = find_protected(policy, *facts.tree, Searched::denied);
  refuse_unknown(denied);
  bool whole = denied.left_out().empty();
  if (unshown.denies_reads()) {
    found.denies_later = true;
    denied.add(unshown);
    whole = whole && unshown.left_out().empty();
  }
  whole = find_second_links(policy, *facts.tree, denied) && whole;
  denied.set_folded(found.objects.folded());
  denied.set_unshown(found.objects.unshown());
  denied.set_mounts(found.objects.mounts());
  denied.set_found_unshown(std::move(unshown));
  found.objects = std::move(denied);
  std::set<std::string> all(found.masks.begin(), found.masks.end());
  all.insert(found.objects.denied_paths().begin(), found.objects.denied_paths().end());
  const bool fits = all.size() <= max_masks;
  if (fits) found.masks = without_covered(std::move(all));
  if (!fits || !whole) found.reads_need_broker = true;
}

}  // namespace

Policy compile(std::span<const profile::Profile> profiles, const HostFacts& facts) {
  const Chain chain = unite(profiles);
  auto data = std::make_unique<Policy::Data>();
  data->weakenings = weakenings_of(chain);
  data->journal = journal_of(chain);
  Draft draft{.facts = facts,
              .variables = variables_of(facts),
              .rules = {},
              .bound = {},
              .unshown = {},
              .conditions = {},
              .pins = {},
              .claims = {},
              .connections = {},
              .published = {},
              .sockets = {},
              .git = {},
              .writable = {},
              .moved = {},
              .mounts = {}};
  const auto weakened = [&](Weakening weakening) {
    return std::find(data->weakenings.begin(), data->weakenings.end(), name(weakening)) != data->weakenings.end();
  };
  draft.host_root = weakened(Weakening::host_root);
  draft.trusted_grants = weakened(Weakening::trusted_grants);

  add_grants(draft, chain);
  for (const profile::Profile* profile : chain) {
    for (const List& list : file_lists) add_list(draft, *profile, list);
    add_exec_lists(draft, *profile);
    add_pins(draft, *profile);
    add_connections(draft, *profile);
  }
  protect_own(draft);
  const Settings settings = settings_of(draft, chain);
  add_built_ins(draft);
  const std::size_t loopback = add_built_in(draft, Section::loopback, 0, "127.0.0.0/8, ::1", Label::kernel);
  const std::vector<Shown> view = compose_view(draft);
  add_scaffolding(draft, view);
  draft.mounts = mounts_of(facts, view);
  Masks masks = lower_denials(draft, view);
  std::vector<std::string> roots = exec_roots(draft, view);

  if (weakened(Weakening::floor_only)) {
    for (Rule& rule : draft.rules) rule.label = rule.label == Label::broker ? Label::nobody : rule.label;
  }
  data->by_rank = rank(draft.rules);
  data->matcher = freeze(draft, data->by_rank);
  data->rules = std::move(draft.rules);
  data->denied_objects.set_unshown(unshown_rules(draft.unshown, data->by_rank, data->rules));
  data->denied_objects.set_folded(fold_rules(draft.bound, data->by_rank, data->rules));
  data->denied_objects.set_mounts(std::move(draft.mounts));
  for (const Draft::Condition& condition : draft.conditions) data->conditions.push_back(frozen(condition, data->rules));
  for (const auto& [path, sha256, rule] : draft.pins) data->pins.push_back({path, sha256, &data->rules[rule]});
  data->network = freeze_connections(draft, data->rules);
  for (const auto& [at, rule] : draft.published) data->publish.push_back({destination_of(at), &data->rules[rule]});
  for (const auto& [path, rule] : draft.sockets) data->sockets.push_back({path, &data->rules[rule]});
  for (const Shown& shown : view)
    data->view.push_back({shown.path, shown.written, shown.access, &data->rules[shown.rule]});
  data->masks = std::move(masks.paths);
  data->exec_roots = std::move(roots);
  data->reads_need_broker = !masks.complete;
  data->denies_later = masks.later;
  data->reads_written = settings.reads.has_value();
  if (settings.reads) data->reads = settings.reads->value;
  if (settings.mode) data->workspace_mode = *settings.mode;
  data->limits = settings.limits;
  if (settings.no_exec) data->no_exec = &data->rules[*settings.no_exec];
  if (settings.memfd) data->memfd = &data->rules[*settings.memfd];
  data->loopback = &data->rules[loopback];
  data->workspace = facts.workspace;
  data->home = draft.variables.home.value_or("");
  data->environment = build_environment(facts, draft.variables, chain);
  for (const profile::Profile* profile : chain) data->sources.push_back(source_of(*profile));
  Policy::Data& whole = *data;
  Policy policy(std::move(data));
  find_objects(policy, facts,
               {.objects = whole.denied_objects,
                .masks = whole.masks,
                .reads_need_broker = whole.reads_need_broker,
                .denies_later = whole.denies_later});
  return policy;
}

}  // namespace agentrun::policy
