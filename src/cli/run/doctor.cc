// doctor: checks what agent-run needs of this host, and prints a remedy for what fails.
#include <algorithm>
#include <cstdio>

#include <agentrun/egress.h>
#include <agentrun/sandbox.h>
#include <agentrun/supervisor.h>
#include "cli/commands.h"
#include "cli/text/print.h"
#include "cli/text/text.h"

namespace agentrun::cli {

namespace {

void print_feature(const sandbox::Feature& feature) {
  const char* word = feature.present ? "ok      " : feature.required ? "MISSING " : "absent  ";
  print("{} {:<28} {}\n", word, feature.name, feature.detail);
  if (!feature.present && !feature.remedy.empty()) print("          remedy: {}\n", feature.remedy);
}

// All parts can work, and still not together.
sandbox::Feature whole_sandbox(supervisor::Trial trial) {
  sandbox::Feature feature{.name = "a whole sandbox", .present = false, .required = true, .detail = {}, .remedy = {}};
  try {
    supervisor::try_sandbox(supervisor::find_places(), trial);
    feature.present = true;
    feature.detail = "profile default, up to the command";
  } catch (const Refusal& e) {
    feature.detail = e.what();
    feature.remedy = e.remedy();
  } catch (const std::exception& e) {
    feature.detail = e.what();
  }
  return feature;
}

// One of each kind of rule.
std::string ruleset_with_egress() {
  profile::Profile all;
  all.name = "probe";
  for (const char* to : {"example.com:443", "udp://example.com:123", "192.0.2.0/24:80", "[2001:db8::/32]:80"})
    all.network.allow.push_back({.to = to});
  return egress::ruleset_of(policy::compile(std::span(&all, 1), {.home = "/", .workspace = "/"}));
}

void print_apparmor_profile() {
  constexpr const char* file = "/etc/apparmor.d/agent-run";
  print("AppArmor restricts user namespaces here. As root, write this to {}, then apparmor_parser -r {}:\n\n{}\n", file,
        file, Safe{printable_lines(sandbox::apparmor_profile(supervisor::program_path()))});
}

}  // namespace

int doctor_command(const Arguments&) {
  if (sandbox::inside_agent_run()) {
    print(
        "this is an agent-run sandbox, and sandboxes cannot be nested: what is missing here is missing on purpose and "
        "needs "
        "no remedy. To check the host, run agent-run doctor outside\n");
    return 1;
  }
  const supervisor::Places places = supervisor::find_places();
  auto features = sandbox::probe_features({.nft_program = supervisor::find_nft_program(places.state, places),
                                           .ruleset = egress::closed_ruleset(),
                                           .egress_ruleset = ruleset_with_egress()});
  const bool lacks_a_part = std::ranges::any_of(
      features, [](const sandbox::Feature& feature) { return feature.required && !feature.present; });
  features.push_back(whole_sandbox(supervisor::Trial::whole));
  if (lacks_a_part && !features.back().present) {
    features.back().detail += ", which follows from what is MISSING above";
    features.back().remedy.clear();
  }
  bool good = true;
  for (const sandbox::Feature& feature : features) {
    print_feature(feature);
    if (!feature.present && feature.required) good = false;
  }
  if (!good && sandbox::apparmor_restricts()) print_apparmor_profile();
  print("{}\n", good ? "agent-run works here" : "agent-run cannot enforce its guarantees here and will refuse to run");
  const bool lacks_broker = std::any_of(features.begin(), features.end(), [](const sandbox::Feature& feature) {
    return feature.of_broker && !feature.present;
  });
  if (lacks_broker && whole_sandbox(supervisor::Trial::floor).present)
    print(
        "the kernel baseline works here: a profile with `weaken: [floor-only]` runs without the broker, see "
        "agent-run-profile(5)\n");
  return good ? 0 : 1;
}

}  // namespace agentrun::cli
