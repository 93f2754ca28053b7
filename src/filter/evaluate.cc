// Runs classic BPF as seccomp does. The checks are the kernel's when it loads a filter: those for every filter
// (bpf_check_classic in net/core/filter.c) and seccomp's own (seccomp_check_filter in kernel/seccomp.c).
#include <agentrun/filter.h>

#include <algorithm>
#include <array>
#include <bit>
#include <stdexcept>
#include <string>
#include <vector>

namespace agentrun::filter {
namespace {

using Program = std::span<const sock_filter>;
using Cells = std::uint16_t;  // one bit per memory cell: written on every path to here
static_assert(BPF_MEMWORDS == 16);
constexpr std::uint32_t max_shift = 31;

[[noreturn]] void refuse(std::size_t at, const char* why) {
  throw std::invalid_argument("BPF instruction " + std::to_string(at) + ": " + why);
}

void check_jump(Program program, std::size_t at) {
  const sock_filter& insn = program[at];
  const std::size_t left = program.size() - at - 1;
  const bool inside = insn.code == (BPF_JMP | BPF_JA) ? insn.k < left : insn.jt < left && insn.jf < left;
  if (!inside) refuse(at, "jump out of the program");
}

/// Accepts the instructions that seccomp accepts, within the limits of their operands.
void check_instruction(Program program, std::size_t at) {
  const sock_filter& insn = program[at];
  switch (insn.code) {
    case BPF_LD | BPF_W | BPF_ABS:
      if (insn.k >= sizeof(seccomp_data) || insn.k % 4 != 0) refuse(at, "load outside of seccomp_data");
      return;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      if (insn.k >= BPF_MEMWORDS) refuse(at, "no such memory cell");
      return;
    case BPF_ALU | BPF_DIV | BPF_K:
      if (insn.k == 0) refuse(at, "division by zero");
      return;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      if (insn.k > max_shift) refuse(at, "shift by more than 31");
      return;
    case BPF_JMP | BPF_JA:
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
      return check_jump(program, at);
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_ALU | BPF_NEG:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
      return;
    default:
      refuse(at, "seccomp does not accept this instruction");
  }
}

constexpr Cells cell(std::uint32_t k) {
  return static_cast<Cells>(1U << k);
}

bool reads_cell(const sock_filter& insn) {
  return insn.code == (BPF_LD | BPF_MEM) || insn.code == (BPF_LDX | BPF_MEM);
}

/// Refuses a read of a memory cell that some path to the instruction has not written. Jumps only go forward, so one
/// pass in order visits an instruction after all its predecessors.
void check_cells(Program program) {
  if (std::ranges::none_of(program, reads_cell)) return;
  std::vector<Cells> written(program.size(), Cells{0xffff});
  written.front() = 0;
  const auto flows = [&](std::size_t to, Cells cells) { written[to] &= cells; };
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& insn = program[at];
    Cells cells = written[at];
    const auto kind = BPF_CLASS(insn.code);
    if (reads_cell(insn) && (cells & cell(insn.k)) == 0) refuse(at, "read of a memory cell that may not be written");
    if (kind == BPF_ST || kind == BPF_STX) cells |= cell(insn.k);
    if (insn.code == (BPF_JMP | BPF_JA)) {
      flows(at + 1 + insn.k, cells);
    } else if (kind == BPF_JMP) {
      flows(at + 1 + insn.jt, cells);
      flows(at + 1 + insn.jf, cells);
    } else if (kind != BPF_RET) {
      flows(at + 1, cells);
    }
  }
}

void check(Program program) {
  if (program.empty() || program.size() > BPF_MAXINSNS)
    throw std::invalid_argument("BPF program: 1 to 4096 instructions");
  for (std::size_t at = 0; at < program.size(); ++at) check_instruction(program, at);
  if (BPF_CLASS(program.back().code) != BPF_RET) refuse(program.size() - 1, "the last instruction must return");
  check_cells(program);
}

struct Machine {
  std::array<std::uint32_t, sizeof(seccomp_data) / sizeof(std::uint32_t)> data;
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  std::array<std::uint32_t, BPF_MEMWORDS> cells{};
};

std::uint32_t load(const Machine& machine, const sock_filter& insn) {
  switch (BPF_MODE(insn.code)) {
    case BPF_ABS:
      return machine.data[insn.k / sizeof(std::uint32_t)];
    case BPF_MEM:
      return machine.cells[insn.k];
    case BPF_LEN:
      return sizeof(seccomp_data);
    default:
      return insn.k;  // BPF_IMM
  }
}

std::uint32_t compute(std::uint16_t code, std::uint32_t a, std::uint32_t operand) {
  switch (BPF_OP(code)) {
    case BPF_ADD:
      return a + operand;
    case BPF_SUB:
      return a - operand;
    case BPF_MUL:
      return a * operand;
    case BPF_DIV:
      return a / operand;
    case BPF_AND:
      return a & operand;
    case BPF_OR:
      return a | operand;
    case BPF_XOR:
      return a ^ operand;
    case BPF_LSH:
      return a << (operand & max_shift);
    case BPF_RSH:
      return a >> (operand & max_shift);
    default:
      return ~a + 1;  // BPF_NEG
  }
}

bool compare(std::uint16_t code, std::uint32_t a, std::uint32_t operand) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return a == operand;
    case BPF_JGE:
      return a >= operand;
    case BPF_JGT:
      return a > operand;
    default:
      return (a & operand) != 0;  // BPF_JSET
  }
}

/// Runs a checked program. The run ends, because jumps go forward and the last instruction returns.
std::uint32_t run(Program program, Machine machine) {
  for (std::size_t at = 0;; ++at) {
    const sock_filter& insn = program[at];
    const std::uint32_t operand = BPF_SRC(insn.code) == BPF_X ? machine.x : insn.k;
    switch (BPF_CLASS(insn.code)) {
      case BPF_LD:
        machine.a = load(machine, insn);
        break;
      case BPF_LDX:
        machine.x = load(machine, insn);
        break;
      case BPF_ST:
        machine.cells[insn.k] = machine.a;
        break;
      case BPF_STX:
        machine.cells[insn.k] = machine.x;
        break;
      case BPF_ALU:
        if (BPF_OP(insn.code) == BPF_DIV && operand == 0) return SECCOMP_RET_KILL_THREAD;  // the kernel returns 0
        machine.a = compute(insn.code, machine.a, operand);
        break;
      case BPF_JMP:
        if (BPF_OP(insn.code) == BPF_JA)
          at += insn.k;
        else
          at += compare(insn.code, machine.a, operand) ? insn.jt : insn.jf;
        break;
      case BPF_MISC:
        if (BPF_MISCOP(insn.code) == BPF_TAX)
          machine.x = machine.a;
        else
          machine.a = machine.x;
        break;
      default:
        return BPF_RVAL(insn.code) == BPF_A ? machine.a : insn.k;  // BPF_RET
    }
  }
}

}  // namespace

std::uint32_t evaluate(std::span<const sock_filter> program, const seccomp_data& call) {
  check(program);
  return run(program, Machine{.data = std::bit_cast<decltype(Machine::data)>(call)});
}

}  // namespace agentrun::filter
