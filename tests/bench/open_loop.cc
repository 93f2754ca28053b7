// open+close of one path, again and again: to be run bare, inside another sandbox, inside agent-run.
// usage: open-loop PATH [CALLS [ROUNDS]]
#include <fcntl.h>
#include <sys/syscall.h>

#include "measure.h"

using namespace agentrun;

namespace {

void run(int argc, char** argv) {
  if (argc < 2) throw Refusal("usage: open-loop PATH [CALLS [ROUNDS]]");
  const char* path = argv[1];
  const int calls = bench::count_argument(argc, argv, 2, 10'000);
  const int rounds = bench::count_argument(argc, argv, 3, 20);
  bench::print("open_loop", calls, bench::measure(rounds, calls, [path] {
                 const long fd = check(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), "openat", path);
                 ::close(static_cast<int>(fd));
               }));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "open-loop: %s\n", error.what());
    return 1;
  }
}
