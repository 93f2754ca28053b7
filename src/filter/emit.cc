// Turns clauses into BPF. A clause becomes its tests and a return; a failed test jumps past the return to the next
// clause.
#include <bit>
#include <stdexcept>
#include <string>

#include "filter/filter_rules.h"

namespace agentrun::filter {
namespace {

constexpr std::uint32_t every_bit = 0xffffffffU;
static_assert(std::endian::native == std::endian::little, "the low half of a register comes first");

constexpr sock_filter statement(std::uint16_t code, std::uint32_t k) {
  return {.code = code, .jt = 0, .jf = 0, .k = k};
}

/// Skips `skip` instructions unless the condition holds.
constexpr sock_filter unless(std::uint16_t comparison, std::uint32_t k, std::size_t skip) {
  return {.code = static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K),
          .jt = 0,
          .jf = static_cast<std::uint8_t>(skip),
          .k = k};
}

sock_filter load(const Condition& condition) {
  if (condition.argument >= std::size(seccomp_data{}.args)) throw std::logic_error("no such argument register");
  constexpr std::uint32_t first = offsetof(seccomp_data, args);
  constexpr std::uint32_t size = sizeof(seccomp_data::args[0]);
  return statement(BPF_LD | BPF_W | BPF_ABS, first + size * condition.argument);
}

/// `behind`: the number of the clause's instructions after the test.
std::vector<sock_filter> test(const Condition& condition, std::size_t behind) {
  if (condition.mask == 0) return {};
  if (condition.mask == every_bit) return {load(condition), unless(BPF_JEQ, condition.value, behind)};
  return {load(condition), statement(BPF_ALU | BPF_AND | BPF_K, condition.mask),
          unless(BPF_JEQ, condition.value, behind)};
}

std::vector<sock_filter> clause_code(const Clause& clause) {
  const std::vector<sock_filter> second = test(clause.second, 1);
  std::vector<sock_filter> code = test(clause.first, second.size() + 1);
  code.insert(code.end(), second.begin(), second.end());
  code.push_back(statement(BPF_RET | BPF_K, clause.action));
  return code;
}

bool is_placeholder(const sock_filter& insn) {
  return insn.code == (BPF_RET | BPF_K) && (insn.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;
}

}  // namespace

std::vector<sock_filter> emit(const CallRule& rule) {
  std::vector<sock_filter> code;
  for (const Clause& clause : rule.clauses) {
    const std::vector<sock_filter> part = clause_code(clause);
    code.insert(code.end(), part.begin(), part.end());
  }
  code.push_back(statement(BPF_RET | BPF_K, rule.otherwise));
  return code;
}

std::vector<sock_filter> attach(std::vector<sock_filter> by_number, std::span<const CallRule> checked) {
  std::vector<sock_filter> program = std::move(by_number);
  std::vector<std::size_t> starts;
  const std::size_t tree = program.size();
  for (const CallRule& rule : checked) {
    starts.push_back(program.size());
    const std::vector<sock_filter> code = emit(rule);
    program.insert(program.end(), code.begin(), code.end());
  }
  std::vector<bool> used(checked.size());
  for (std::size_t at = 0; at < tree; ++at) {
    if (!is_placeholder(program[at])) continue;
    const std::size_t index = program[at].k & SECCOMP_RET_DATA;
    if (index >= checked.size()) throw std::logic_error("placeholder " + std::to_string(index) + " has no rule");
    program[at] = statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(starts[index] - at - 1));
    used[index] = true;
  }
  for (std::size_t index = 0; index < used.size(); ++index)
    if (!used[index])
      throw std::logic_error("the tests of call " + std::to_string(checked[index].nr) + " are unreachable");
  if (program.size() > BPF_MAXINSNS) throw std::logic_error("the program is too long");
  return program;
}

}  // namespace agentrun::filter
