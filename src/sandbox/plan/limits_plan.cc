// Decides what enforces each limit on this host.
#include <agentrun/sandbox.h>
#include <agentrun/sys/process.h>
#include <unistd.h>

#include <array>
#include <sstream>

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/cgroup/systemd_scope.h"

namespace agentrun::sandbox {

namespace {

using By = EnforcedLimit::By;
using Carrier = LimitsPlan::Carrier;
using Names = std::set<std::string>;

std::string text_of(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

// Since Linux 5.14 RLIMIT_NPROC counts per user and user namespace, and each sandbox has its own user namespace. A
// process whose uid is the host's root is exempt (fork(2), copy_process).
bool task_rlimit_holds() {
  if (::getuid() != 0) return true;
  std::istringstream map(try_read_file("/proc/self/uid_map").value_or(""));
  std::uint64_t inside = 0, outside = 0;
  return (map >> inside >> outside) && inside == 0 && outside != 0;
}

// The controllers of `needed` that neither the offer nor a resource limit replaces.
Names missing(const Names& needed, const LimitsHost::Offer& offer, const LimitsHost& host) {
  Names left;
  for (const std::string& name : needed)
    if (!offer.controllers.contains(name) && !(name == "pids" && host.task_rlimit_holds)) left.insert(name);
  return left;
}

struct Choice {
  Carrier carrier = Carrier::none;
  const LimitsHost::Offer* offer = nullptr;
};
Choice choose(const Names& needed, const LimitsHost& host) {
  static const LimitsHost::Offer nothing;
  Choice best{Carrier::none, &nothing};
  for (const Choice& other : {Choice{Carrier::subtree, &host.subtree}, {Carrier::scope, &host.scope}})
    if (missing(needed, *other.offer, host).size() < missing(needed, *best.offer, host).size()) best = other;
  return best;
}

void bound_tasks(LimitsPlan& plan, EnforcedLimit& limit, const LimitsHost& host, std::uint64_t tasks) {
  plan.process_tasks = tasks + 1 + host.own_tasks;  // pid 1 of the sandbox counts too
  if (host.task_rlimit_holds) limit.enforced_by = By::rlimit;
}

void bound_memory(LimitsPlan& plan, EnforcedLimit& limit, std::uint64_t bytes) {
  plan.process_memory = bytes;
  limit.enforced_by = By::each_process;
}

}  // namespace

std::string_view name(By enforcer) noexcept {
  static constexpr std::array<std::string_view, 4> names = {"control group", "rlimit", "each process", "nothing"};
  return names[static_cast<std::size_t>(enforcer)];
}

LimitsPlan plan_limits(const TreeLimits& wanted, const LimitsHost& host) {
  LimitsPlan plan;
  const Choice choice = choose(controllers_for(wanted), host);
  const auto add = [&](const char* name, const char* controller, std::string value) -> EnforcedLimit& {
    EnforcedLimit& limit =
        plan.enforced.emplace_back(EnforcedLimit{.name = name, .value = std::move(value), .enforced_by = By::nothing});
    if (choice.offer->controllers.contains(controller)) limit.enforced_by = By::control_group;
    return limit;
  };
  if (wanted.memory) {
    EnforcedLimit& limit = add("memory", "memory", std::to_string(*wanted.memory));
    if (limit.enforced_by == By::control_group)
      plan.grouped.memory = wanted.memory;
    else
      bound_memory(plan, limit, *wanted.memory);
  }
  if (wanted.tasks) {
    EnforcedLimit& limit = add("tasks", "pids", std::to_string(*wanted.tasks));
    if (limit.enforced_by == By::control_group)
      plan.grouped.tasks = wanted.tasks;
    else
      bound_tasks(plan, limit, host, *wanted.tasks);
  }
  if (wanted.cpus) {
    const EnforcedLimit& limit = add("cpus", "cpu", text_of(*wanted.cpus));
    if (limit.enforced_by == By::control_group) plan.grouped.cpus = wanted.cpus;
  }
  const bool by_scope = choice.carrier == Carrier::scope;
  for (EnforcedLimit& limit : plan.enforced) {
    if (!limit.weaker()) continue;
    limit.lacks = host.subtree.why_not;
    if (!host.scope.why_not.empty()) limit.lacks += (limit.lacks.empty() ? "" : "; ") + host.scope.why_not;
    limit.remedy = by_scope || host.subtree.remedy.empty() ? host.scope.remedy : host.subtree.remedy;
  }
  if (controllers_for(plan.grouped).empty()) return plan;
  plan.carrier = choice.carrier;
  if (plan.carrier == Carrier::subtree) plan.parent = host.subtree.place;
  return plan;
}

LimitsPlan plan_limits_here(const TreeLimits& wanted, std::uint64_t own_tasks) {
  const Names needed = controllers_for(wanted);
  if (needed.empty()) return {};
  LimitsHost host{.subtree = {}, .scope = {}, .task_rlimit_holds = task_rlimit_holds(), .own_tasks = own_tasks};
  if (missing(needed, {}, host).empty()) return plan_limits(wanted, host);
  const Managed managed = who_manages();
  const auto position = position_of(::getpid());
  host.subtree = look_at_subtree(position, managed, try_read_file("/proc/cgroups").value_or(""));
  if (managed == Managed::by_systemd && !missing(needed, host.subtree, host).empty()) host.scope = look_at_scope();
  LimitsPlan plan = plan_limits(wanted, host);
  if (plan.carrier != Carrier::none) plan.hierarchy = position.value().mount;
  return plan;
}

}  // namespace agentrun::sandbox
