// getppid, again and again: what a call costs that the filter lets through without a look at its arguments.
// usage: call-loop [CALLS [ROUNDS]]
#include <sys/syscall.h>

#include "measure.h"

using namespace agentrun;

namespace {

void run(int argc, char** argv) {
  const int calls = bench::count_argument(argc, argv, 1, 1'000'000);
  const int rounds = bench::count_argument(argc, argv, 2, 20);
  bench::print("call_loop", calls, bench::measure(rounds, calls, [] { ::syscall(SYS_getppid); }));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "call-loop: %s\n", error.what());
    return 1;
  }
}
