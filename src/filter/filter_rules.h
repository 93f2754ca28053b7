// What a program shall decide, as a value: the step between the table and libseccomp.
#pragma once

#include <agentrun/filter.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace agentrun::filter {

/// A SECCOMP_RET_* value with its data (seccomp(2)).
using Action = std::uint32_t;

constexpr Action refuse_with(int error) {
  return SECCOMP_RET_ERRNO | static_cast<Action>(error);
}

/// (low half of register `argument` & mask) == value. A mask of 0 always holds.
/// The upper half is never looked at: the kernel truncates 32-bit arguments, so it is the caller's to choose.
struct Condition {
  std::uint8_t argument = 0;
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
};

/// When both conditions hold, `action`. `what` names the case in the manual.
struct Clause {
  std::string_view what = {};
  Condition first = {};
  Condition second = {};
  Action action = SECCOMP_RET_KILL_PROCESS;
};

/// One call: the first clause that holds decides, else `otherwise`.
struct CallRule {
  int nr = -1;
  std::span<const Clause> clauses = {};
  Action otherwise = SECCOMP_RET_KILL_PROCESS;
};

/// A program: what it knows, and what becomes of all else.
struct RuleSet {
  Action unknown = SECCOMP_RET_KILL_PROCESS;  // numbers without a rule
  Action foreign = SECCOMP_RET_KILL_PROCESS;  // calls of another architecture, and x32
  std::vector<CallRule> calls = {};           // sorted by number, unique
};

/// The rules of a variant. The spans in it point to constants.
RuleSet rules(Variant variant);

/// The register tests of one rule as BPF: entered by a jump, left by a return. Whole: it ends with `otherwise`.
std::vector<sock_filter> emit(const CallRule& rule);

/// The action that stands for "go on with the register tests of `checked[index]`" in a program that decides by number.
constexpr Action placeholder(std::size_t index) {
  return SECCOMP_RET_TRACE | static_cast<Action>(index);
}

/// Replaces each return of a placeholder by a jump to the tests, which are appended. Throws std::logic_error when a
/// placeholder is missing, is unknown, or the result is longer than the kernel takes.
std::vector<sock_filter> attach(std::vector<sock_filter> by_number, std::span<const CallRule> checked);

/// Calls that the agent may make but for some register values (Disposition::checked). Sorted by number.
std::span<const CallRule> agent_checks() noexcept;

/// What of open (flags in register 1) and openat (register 2) the broker must see.
enum class Reads : std::uint8_t { trapped, off };
CallRule open_rule(const Row& row, Reads reads);
/// What of fcntl the broker must see.
CallRule lease_rule(const Row& row) noexcept;

/// The allow lists of our own processes.
RuleSet init_rules();
RuleSet broker_rules();
RuleSet egress_rules();
RuleSet sink_rules();

}  // namespace agentrun::filter
