// Clauses → BPF, and the joining of register tests to a program that decides by number.
#include "filter/filter_rules.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <stdexcept>

#include "seccomp_call.h"

using namespace agentrun::filter;
using namespace agentrun::filter::test;

namespace {

std::uint32_t decide(const CallRule& rule, const Args& args) {
  return evaluate(emit(rule), call(1, args));
}

/// Jumps to placeholder 0 for call 1 and to placeholder 1 for call 2; else 5.
std::vector<sock_filter> by_number() {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 2, 0),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 2, 0), BPF_STMT(BPF_RET | BPF_K, 5),
          BPF_STMT(BPF_RET | BPF_K, placeholder(0)),    BPF_STMT(BPF_RET | BPF_K, placeholder(1))};
}

constexpr Clause one_clause[] = {{.first = {.argument = 0, .mask = 0xff, .value = 3}, .action = 10}};
constexpr Clause other_clause[] = {{.first = {.argument = 5, .mask = 0xffffffff, .value = 0x80000000}, .action = 20}};

}  // namespace

TEST_CASE("a rule without clauses is its `otherwise`") {
  CHECK(decide({.nr = 1, .otherwise = 99}, {1, 2, 3}) == 99);
}

TEST_CASE("the first clause that holds decides") {
  const Clause clauses[] = {
      {.first = {.argument = 2, .mask = 0xf, .value = 1}, .action = 10},
      {.first = {.argument = 2, .mask = 0xff, .value = 0x11}, .action = 20},
      {.first = {.argument = 2, .mask = 0xf0, .value = 0x20}, .action = 30},
  };
  const CallRule rule{.nr = 1, .clauses = clauses, .otherwise = 99};
  CHECK(decide(rule, {0, 0, 0x11}) == 10);
  CHECK(decide(rule, {0, 0, 0x21}) == 10);
  CHECK(decide(rule, {0, 0, 0x22}) == 30);
  CHECK(decide(rule, {0, 0, 0x12}) == 99);
  CHECK(decide(rule, {0x11, 0x11, 0}) == 99);
}

TEST_CASE("both conditions of a clause must hold") {
  const Clause clauses[] = {{.first = {.argument = 0, .mask = 0xffffffff, .value = 2},
                             .second = {.argument = 1, .mask = 0xf, .value = 3},
                             .action = 10}};
  const CallRule rule{.nr = 1, .clauses = clauses, .otherwise = 99};
  CHECK(decide(rule, {2, 3}) == 10);
  CHECK(decide(rule, {2, 0x813}) == 10);
  CHECK(decide(rule, {2, 4}) == 99);
  CHECK(decide(rule, {1, 3}) == 99);
  CHECK(decide(rule, {1, 4}) == 99);
}

TEST_CASE("a condition compares only the low half, of each of the six registers") {
  for (std::uint8_t register_number = 0; register_number < 6; ++register_number) {
    const Clause clauses[] = {{.first = {.argument = register_number, .mask = 0xffffffff, .value = 7}, .action = 10}};
    const CallRule rule{.nr = 1, .clauses = clauses, .otherwise = 99};
    Args args{};
    CHECK(decide(rule, args) == 99);
    args[register_number] = 7;
    CHECK(decide(rule, args) == 10);
    CHECK(decide(rule, with_upper(args, 0xdeadbeef)) == 10);
    args[register_number] = std::uint64_t{7} << 32;
    CHECK(decide(rule, args) == 99);
  }
}

TEST_CASE("a register that does not exist is refused") {
  const Clause clauses[] = {{.first = {.argument = 6, .mask = 1, .value = 1}, .action = 10}};
  CHECK_THROWS_AS(emit({.nr = 1, .clauses = clauses, .otherwise = 99}), std::logic_error);
}

TEST_CASE("attach joins each placeholder to its tests") {
  const CallRule checked[] = {{.nr = 1, .clauses = one_clause, .otherwise = 11},
                              {.nr = 2, .clauses = other_clause, .otherwise = 21}};
  const std::vector<sock_filter> program = attach(by_number(), checked);
  CHECK(evaluate(program, call(1, {3})) == 10);
  CHECK(evaluate(program, call(1, {4})) == 11);
  CHECK(evaluate(program, call(2, {3, 0, 0, 0, 0, 0x80000000})) == 20);
  CHECK(evaluate(program, call(2, {3})) == 21);
  CHECK(evaluate(program, call(3, {3})) == 5);
}

TEST_CASE("attach refuses placeholders without a rule, and unreachable tests") {
  const CallRule one[] = {{.nr = 1, .clauses = one_clause, .otherwise = 11}};
  CHECK_THROWS_AS(attach(by_number(), one), std::logic_error);
  const CallRule three[] = {one[0], one[0], one[0]};
  CHECK_THROWS_AS(attach(by_number(), three), std::logic_error);
}

TEST_CASE("attach refuses a program that the kernel would not accept") {
  std::vector<sock_filter> program(BPF_MAXINSNS, BPF_STMT(BPF_RET | BPF_K, 0));
  program.front() = BPF_STMT(BPF_RET | BPF_K, placeholder(0));
  const CallRule one[] = {{.nr = 1, .clauses = one_clause, .otherwise = 11}};
  CHECK_THROWS_AS(attach(program, one), std::logic_error);
}

TEST_CASE("no generated program holds a placeholder") {
  for (const Variant variant : all_variants)
    for (const sock_filter& insn : program(variant))
      CHECK_FALSE((insn.code == (BPF_RET | BPF_K) && (insn.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE));
}
