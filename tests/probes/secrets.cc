// S1: looking for a secret that was only in the environment of whoever started agent-run. The marker comes in two
// halves, so that the command line itself does not contain it: first=… second=…
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include <agentrun/sys/fd.h>

#include "probe.h"

namespace {

using agentrun::Fd;
using probe::Arguments;
using probe::Outcome;

std::string marker(const Arguments& a) {
  return a.get("first") + a.get("second");
}

std::string whole(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string out;
  std::array<char, 4096> buffer;
  if (!fd) return out;
  for (ssize_t got = 0; (got = read(fd.get(), buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(got));
  return out;
}

Outcome found_in(const Arguments& a, const std::string& path) {
  const std::string text = whole(path);
  return probe::effect(text.find(marker(a)) != std::string::npos, text.empty() ? EACCES : ENOENT, path);
}

Outcome in_environment(const Arguments& a) {
  for (char** each = environ; *each != nullptr; ++each)
    if (std::string(*each).find(marker(a)) != std::string::npos) return {.error = 0, .detail = "environ"};
  return {.error = ENOENT, .detail = {}};
}

/// Every process's file of that name.
Outcome in_any(const Arguments& a, const char* file) {
  DIR* stream = opendir("/proc");
  if (stream == nullptr) return probe::from(-1);
  Outcome outcome{.error = ENOENT, .detail = {}};
  while (const dirent* entry = readdir(stream)) {
    if (std::strtol(entry->d_name, nullptr, 10) <= 0) continue;
    const Outcome one = found_in(a, "/proc/" + std::string(entry->d_name) + "/" + file);
    if (one.error == 0) outcome = one;
  }
  closedir(stream);
  return outcome;
}

Outcome core_file(const Arguments&) {
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  if (limit.rlim_max <= 1) return {.error = EPERM, .detail = {}};  // 1: less than any core file, and no pipe (core(5))
  limit.rlim_cur = limit.rlim_max;
  return probe::from(setrlimit(RLIMIT_CORE, &limit));
}

const std::array acts{
    probe::Act{"environment", in_environment},
    probe::Act{"self-environ", [](const Arguments& a) { return found_in(a, "/proc/self/environ"); }},
    probe::Act{"parent-environ",
               [](const Arguments& a) { return found_in(a, "/proc/" + std::to_string(getppid()) + "/environ"); }},
    probe::Act{"any-environ", [](const Arguments& a) { return in_any(a, "environ"); }},
    probe::Act{"core-file", core_file},
};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{probe::Group{"secrets", acts}};
  return probe::run_main(groups, argc, argv);
}
