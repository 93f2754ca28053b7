// C2: io_uring. A ring does what the trapped calls do without making them: open, rename, connect.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>

#include "probe.h"

namespace {

using agentrun::Fd;
using probe::address;
using probe::Arguments;
using probe::Outcome;

constexpr unsigned register_opcodes = 64;  // Linux 6.18 knows 36

Outcome setup(const Arguments&) {
  io_uring_params parameters{};
  const Fd ring(static_cast<int>(probe::call(SYS_io_uring_setup, 4, address(&parameters))));
  return probe::from(ring ? 0 : -1);
}

Outcome enter(const Arguments&) {
  return probe::reached(probe::call(SYS_io_uring_enter, ~0UL, 0, 0, 0, 0, 0));
}

Outcome register_any(const Arguments&) {
  for (unsigned long opcode = 0; opcode < register_opcodes; ++opcode) {
    const Outcome outcome = probe::reached(probe::call(SYS_io_uring_register, ~0UL, opcode, 0, 0));
    if (outcome.error == 0) return {.error = 0, .detail = "opcode " + std::to_string(opcode)};
  }
  return {.error = ENOSYS, .detail = {}};
}

/// A ring with one submission: just what a single operation needs.
class Ring {
 public:
  Ring()
      : fd_(static_cast<int>(
            agentrun::check(probe::call(SYS_io_uring_setup, 1, address(&parameters_)), "io_uring_setup"))) {
    queue_ = map(IORING_OFF_SQ_RING, parameters_.sq_off.array + parameters_.sq_entries * sizeof(unsigned));
    entries_ = reinterpret_cast<io_uring_sqe*>(map(IORING_OFF_SQES, parameters_.sq_entries * sizeof(io_uring_sqe)));
  }
  void submit(const io_uring_sqe& entry) {
    *entries_ = entry;
    at(parameters_.sq_off.array) = 0;
    at(parameters_.sq_off.tail) = at(parameters_.sq_off.tail) + 1;
    agentrun::check(
        probe::call(SYS_io_uring_enter, static_cast<unsigned long>(fd_.get()), 1, 1, IORING_ENTER_GETEVENTS, 0, 0),
        "io_uring_enter");
  }

 private:
  char* map(std::uint64_t offset, std::size_t size) {
    void* mapped =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), static_cast<off_t>(offset));
    if (mapped == MAP_FAILED) agentrun::throw_errno("mmap", "io_uring");
    return static_cast<char*>(mapped);
  }
  volatile unsigned& at(unsigned offset) { return *reinterpret_cast<volatile unsigned*>(queue_ + offset); }

  io_uring_params parameters_{};
  Fd fd_;
  char* queue_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
};

Outcome open_by_ring(const Arguments& a) {
  const std::string path = a.get("root") + "/uring-open";
  int error = 0;
  try {
    Ring ring;
    io_uring_sqe entry{};
    entry.opcode = IORING_OP_OPENAT;
    entry.fd = AT_FDCWD;
    entry.addr = address(path.c_str());
    entry.open_flags = O_CREAT | O_WRONLY;
    entry.len = 0600;
    ring.submit(entry);
  } catch (const agentrun::SysError& failure) {
    error = failure.error();
  }
  struct stat unused {};
  return probe::effect(stat(path.c_str(), &unused) == 0, error);
}

const std::array acts{
    probe::Act{"uring-setup", setup},
    probe::Act{"uring-enter", enter},
    probe::Act{"uring-register", register_any},
    probe::Act{"uring-open", open_by_ring},
};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{probe::Group{"uring", acts}};
  return probe::run_main(groups, argc, argv);
}
