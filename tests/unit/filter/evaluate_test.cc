// The evaluator against hand-made programs: what runs, and what the kernel would refuse to load.
#include <doctest/doctest.h>

#include <stdexcept>
#include <vector>

#include "seccomp_call.h"

using namespace agentrun::filter;
using namespace agentrun::filter::test;

namespace {

using Program = std::vector<sock_filter>;

sock_filter stmt(int code, std::uint32_t k) {
  return BPF_STMT(static_cast<std::uint16_t>(code), k);
}
sock_filter jump(int code, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  return BPF_JUMP(static_cast<std::uint16_t>(code), k, yes, no);
}

const sock_filter load_nr = stmt(BPF_LD | BPF_W | BPF_ABS, 0);
const sock_filter ret_a = stmt(BPF_RET | BPF_A, 0);
const sock_filter ret_7 = stmt(BPF_RET | BPF_K, 7);

std::uint32_t run(const Program& program, const seccomp_data& data = call(100)) {
  return evaluate(program, data);
}

/// A = a, X = x, then `code`, then return A.
std::uint32_t alu(int code, std::uint32_t a, std::uint32_t x, std::uint32_t k = 0) {
  return run({stmt(BPF_LDX | BPF_IMM, x), stmt(BPF_LD | BPF_IMM, a), stmt(BPF_ALU | code, k), ret_a});
}

bool taken(int code, std::uint32_t a, std::uint32_t k) {
  return run({stmt(BPF_LD | BPF_IMM, a), jump(BPF_JMP | code | BPF_K, k, 0, 1), stmt(BPF_RET | BPF_K, 1), ret_7}) == 1;
}

void refused_program(const Program& program) {
  CHECK_THROWS_AS(run(program), std::invalid_argument);
}

}  // namespace

TEST_CASE("loads read seccomp_data by words, the low half of a register first") {
  seccomp_data data = call(257, {0x1111111122222222, 0, 0, 0, 0, 0x5555555566666666}, 0xabcd);
  data.instruction_pointer = 0x0102030405060708;
  const auto word = [&](std::uint32_t at) { return run({stmt(BPF_LD | BPF_W | BPF_ABS, at), ret_a}, data); };
  CHECK(word(0) == 257);
  CHECK(word(4) == 0xabcd);
  CHECK(word(8) == 0x05060708);
  CHECK(word(12) == 0x01020304);
  CHECK(word(16) == 0x22222222);
  CHECK(word(20) == 0x11111111);
  CHECK(word(56) == 0x66666666);
  CHECK(word(60) == 0x55555555);
  CHECK(run({stmt(BPF_LD | BPF_W | BPF_LEN, 0), ret_a}) == 64);
  CHECK(run({stmt(BPF_LDX | BPF_W | BPF_LEN, 0), stmt(BPF_MISC | BPF_TXA, 0), ret_a}) == 64);
}

TEST_CASE("arithmetic is of 32 bits and wraps") {
  CHECK(alu(BPF_ADD | BPF_K, 0xffffffff, 0, 2) == 1);
  CHECK(alu(BPF_ADD | BPF_X, 3, 4) == 7);
  CHECK(alu(BPF_SUB | BPF_K, 1, 0, 2) == 0xffffffff);
  CHECK(alu(BPF_SUB | BPF_X, 9, 4) == 5);
  CHECK(alu(BPF_MUL | BPF_K, 0x80000001, 0, 2) == 2);
  CHECK(alu(BPF_MUL | BPF_X, 6, 7) == 42);
  CHECK(alu(BPF_DIV | BPF_K, 0xffffffff, 0, 2) == 0x7fffffff);
  CHECK(alu(BPF_DIV | BPF_X, 42, 6) == 7);
  CHECK(alu(BPF_AND | BPF_K, 0xff0f, 0, 0x0ff0) == 0x0f00);
  CHECK(alu(BPF_AND | BPF_X, 0xff0f, 0x0ff0) == 0x0f00);
  CHECK(alu(BPF_OR | BPF_K, 0xf0, 0, 0x0f) == 0xff);
  CHECK(alu(BPF_OR | BPF_X, 0xf0, 0x0f) == 0xff);
  CHECK(alu(BPF_XOR | BPF_K, 0xff, 0, 0x0f) == 0xf0);
  CHECK(alu(BPF_XOR | BPF_X, 0xff, 0x0f) == 0xf0);
  CHECK(alu(BPF_LSH | BPF_K, 1, 0, 31) == 0x80000000);
  CHECK(alu(BPF_LSH | BPF_X, 1, 33) == 2);
  CHECK(alu(BPF_RSH | BPF_K, 0x80000000, 0, 31) == 1);
  CHECK(alu(BPF_RSH | BPF_X, 4, 33) == 2);
  CHECK(alu(BPF_NEG, 1, 0) == 0xffffffff);
}

TEST_CASE("a division by a zero X ends the program with 0, which kills the thread") {
  CHECK(alu(BPF_DIV | BPF_X, 42, 0) == SECCOMP_RET_KILL_THREAD);
}

TEST_CASE("comparisons are unsigned") {
  CHECK(taken(BPF_JEQ, 5, 5));
  CHECK_FALSE(taken(BPF_JEQ, 5, 6));
  CHECK(taken(BPF_JGT, 0xffffffff, 1));
  CHECK_FALSE(taken(BPF_JGT, 5, 5));
  CHECK(taken(BPF_JGE, 5, 5));
  CHECK_FALSE(taken(BPF_JGE, 4, 5));
  CHECK(taken(BPF_JSET, 6, 2));
  CHECK_FALSE(taken(BPF_JSET, 6, 1));
  CHECK_FALSE(taken(BPF_JSET, 6, 0));
}

TEST_CASE("comparison with X, jump always, transfer and memory") {
  CHECK(run({stmt(BPF_LDX | BPF_IMM, 100), load_nr, jump(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1), stmt(BPF_RET | BPF_K, 1),
             ret_7}) == 1);
  CHECK(run({stmt(BPF_JMP | BPF_JA, 1), stmt(BPF_RET | BPF_K, 1), ret_7}) == 7);
  CHECK(run({load_nr, stmt(BPF_MISC | BPF_TAX, 0), stmt(BPF_LD | BPF_IMM, 0), stmt(BPF_MISC | BPF_TXA, 0), ret_a}) ==
        100);
  CHECK(run({load_nr, stmt(BPF_ST, 15), stmt(BPF_LD | BPF_IMM, 0), stmt(BPF_LD | BPF_MEM, 15), ret_a}) == 100);
  CHECK(run({stmt(BPF_LDX | BPF_IMM, 9), stmt(BPF_STX, 0), stmt(BPF_LD | BPF_MEM, 0), ret_a}) == 9);
  CHECK(run({load_nr, stmt(BPF_ST, 3), stmt(BPF_LDX | BPF_MEM, 3), stmt(BPF_MISC | BPF_TXA, 0), ret_a}) == 100);
}

TEST_CASE("the kernel refuses: lengths and ends") {
  refused_program({});
  refused_program({load_nr});
  refused_program({ret_7, load_nr});
  CHECK(run(Program(BPF_MAXINSNS, ret_7)) == 7);
  refused_program(Program(BPF_MAXINSNS + 1, ret_7));
}

TEST_CASE("the kernel refuses: loads outside seccomp_data, unaligned, or of another kind") {
  refused_program({stmt(BPF_LD | BPF_W | BPF_ABS, 64), ret_7});
  refused_program({stmt(BPF_LD | BPF_W | BPF_ABS, 2), ret_7});
  refused_program({stmt(BPF_LD | BPF_W | BPF_ABS, 0xfffffffc), ret_7});
  refused_program({stmt(BPF_LD | BPF_H | BPF_ABS, 0), ret_7});
  refused_program({stmt(BPF_LD | BPF_B | BPF_ABS, 0), ret_7});
  refused_program({stmt(BPF_LD | BPF_W | BPF_IND, 0), ret_7});
  refused_program({stmt(BPF_LDX | BPF_B | BPF_MSH, 0), ret_7});
}

TEST_CASE("the kernel refuses: instructions and operands") {
  refused_program({stmt(BPF_ALU | BPF_MOD | BPF_K, 3), ret_7});
  refused_program({stmt(BPF_ALU | BPF_DIV | BPF_K, 0), ret_7});
  refused_program({stmt(BPF_ALU | BPF_LSH | BPF_K, 32), ret_7});
  refused_program({stmt(BPF_ALU | BPF_RSH | BPF_K, 32), ret_7});
  refused_program({stmt(BPF_RET | BPF_X, 0)});
  refused_program({stmt(0xffff, 0), ret_7});
  refused_program({jump(BPF_JMP | 0x50 | BPF_K, 0, 0, 0), ret_7});
}

TEST_CASE("the kernel refuses: jumps out of the program, even on an untaken branch") {
  refused_program({stmt(BPF_JMP | BPF_JA, 1), ret_7});
  refused_program({stmt(BPF_JMP | BPF_JA, 0xffffffff), ret_7});
  refused_program({load_nr, jump(BPF_JMP | BPF_JEQ | BPF_K, 100, 0, 1), ret_7});
  refused_program({load_nr, jump(BPF_JMP | BPF_JEQ | BPF_K, 100, 1, 0), ret_7});
}

TEST_CASE("the kernel refuses: memory cells that do not exist or that some path leaves unwritten") {
  refused_program({stmt(BPF_ST, 16), ret_7});
  refused_program({stmt(BPF_LD | BPF_MEM, 16), ret_7});
  refused_program({stmt(BPF_LD | BPF_MEM, 0), ret_7});
  refused_program({stmt(BPF_ST, 1), stmt(BPF_LDX | BPF_MEM, 0), ret_7});
  const auto maybe_written = [](sock_filter branch) {
    return Program{load_nr, branch, stmt(BPF_ST, 0), stmt(BPF_LD | BPF_MEM, 0), ret_a};
  };
  refused_program(maybe_written(jump(BPF_JMP | BPF_JEQ | BPF_K, 100, 0, 1)));
  CHECK(run(maybe_written(jump(BPF_JMP | BPF_JEQ | BPF_K, 100, 0, 0))) == 100);
}
