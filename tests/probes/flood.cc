// L9: too much of everything. denied=… a file that may not be written, allowed=… one that may be read; threads=…
// calls=… or milliseconds=… The detail tells what happened: calls made, calls that ended as the act wants.
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <agentrun/sys/fd.h>

#include "probe.h"

namespace {

using agentrun::Fd;
using probe::Arguments;
using probe::Outcome;

std::int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

/// Calls `once` from every thread, until there were `calls` of them or the time is over; counts those that gave true.
Outcome flood(const Arguments& a, const std::function<bool()>& once) {
  const long most = a.number("calls", 1L << 60);
  const std::int64_t end = now_ms() + a.number("milliseconds", 600'000);
  std::atomic<long> taken{0}, made{0}, right{0};
  const auto work = [&] {
    long mine = 0, good = 0;
    while (taken.fetch_add(1, std::memory_order_relaxed) < most) {
      good += once() ? 1 : 0;
      if (++mine % 64 == 0 && now_ms() > end) break;
    }
    made += mine;
    right += good;
  };
  const std::int64_t start = now_ms();
  std::vector<std::thread> threads;
  for (long i = 1; i < a.number("threads", 4); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  const std::int64_t spent = now_ms() - start;
  return {0, "calls=" + std::to_string(made) + ",right=" + std::to_string(right) + ",ms=" + std::to_string(spent)};
}

Outcome denials(const Arguments& a) {
  const std::string path = a.get("denied");
  return flood(a, [&] { return !Fd(open(path.c_str(), O_WRONLY | O_CLOEXEC)) && errno == EACCES; });
}

Outcome reads(const Arguments& a) {
  const std::string path = a.get("allowed");
  return flood(a, [&] { return static_cast<bool>(Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC))); });
}

/// Processes that fork until they may not: at most `processes`, so that a host without a limit lives on.
Outcome forks(const Arguments& a) {
  const std::string path = a.get("denied");
  const long most = a.number("processes", 500);
  long made = 0;
  int error = 0;
  for (; made < most; ++made) {
    const pid_t child = fork();
    if (child < 0) {
      error = errno;
      break;
    }
    if (child > 0) continue;
    (void)close_range(3, ~0U, 0);  // among them the pipe on which the probe waits for this act's outcome
    for (int i = 0; i < 20; ++i) (void)!Fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    for (;;) pause();
  }
  usleep(200'000);
  return {0, "forks=" + std::to_string(made) + ",errno=" + std::to_string(error)};
}

const std::array acts{
    probe::Act{"denials", denials},
    probe::Act{"reads", reads},
    probe::Act{"forks", forks},
};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{probe::Group{"flood", acts}};
  return probe::run_main(groups, argc, argv);
}
