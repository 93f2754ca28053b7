#include "probe.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <agentrun/sys/error.h>
#include <agentrun/sys/fd.h>

namespace probe {
namespace {

using Clock = std::chrono::steady_clock;

std::string printable(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(
      out, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

std::string word(int error) {
  return error == 0 ? "ok" : std::string(agentrun::errno_name(error));
}

std::string signal_word(int signal) {
  const char* name = sigabbrev_np(signal);
  return "signal-" + (name != nullptr ? std::string(name) : std::to_string(signal));
}

/// Reads until end of file or the deadline; false at the deadline.
bool read_until(int fd, std::string& out, Clock::time_point deadline) {
  std::array<char, 4096> buffer;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) return true;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

[[noreturn]] void act_child(const Act& act, const Arguments& arguments, int report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Outcome outcome;
  try {
    outcome = act.run(arguments);
  } catch (const std::exception& failure) {
    outcome = {.error = EDOM, .detail = std::string("probe: ") + failure.what()};
  }
  const std::string line = (outcome.absent ? "not-on-this-machine" : word(outcome.error)) +
                           (outcome.detail.empty() ? "" : " " + printable(outcome.detail));
  const ssize_t written = write(report, line.data(), line.size());
  _exit(written == static_cast<ssize_t>(line.size()) ? 0 : 1);
}

std::string try_act(const Act& act, const Arguments& arguments) {
  std::array<int, 2> ends{};
  agentrun::check(pipe2(ends.data(), O_CLOEXEC), "pipe2");
  const agentrun::Fd reader(ends[0]);
  agentrun::Fd writer(ends[1]);
  const pid_t child = agentrun::check(fork(), "fork");
  if (child == 0) act_child(act, arguments, writer.get());
  writer.reset();
  std::string line;
  const auto deadline = Clock::now() + std::chrono::seconds(arguments.number("limit", 20));
  const bool ended = read_until(reader.get(), line, deadline);
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!ended) return "timeout";
  if (!line.empty()) return line;
  return WIFSIGNALED(status) ? signal_word(WTERMSIG(status)) : "signal-none died without a word";
}

int run_group(const Group& group, std::string_view only, const Arguments& arguments) {
  bool any = false;
  for (const Act& act : group.acts) {
    if (!only.empty() && act.name != only) continue;
    any = true;
    const std::string got = try_act(act, arguments);
    std::printf("ACT %.*s %s\n", static_cast<int>(act.name.size()), act.name.data(), got.c_str());
    std::fflush(stdout);
  }
  return any ? 0 : 2;
}

}  // namespace

Outcome not_on_this_machine(std::string what) {
  return {.error = 0, .detail = std::move(what), .absent = true};
}

Outcome from(long result, std::string detail) {
  return {.error = result < 0 ? errno : 0, .detail = std::move(detail)};
}

Outcome reached(long result) {
  const int error = result < 0 ? errno : 0;
  if (error == EPERM || error == ENOSYS || error == EAFNOSUPPORT) return {.error = error, .detail = {}};
  return {.error = 0, .detail = error == 0 ? "" : "reached: " + std::string(agentrun::errno_name(error))};
}

Outcome effect(bool happened, int error, std::string detail) {
  if (happened) return {.error = 0, .detail = std::move(detail)};
  return {.error = error != 0 ? error : ENOMSG, .detail = std::move(detail)};
}

Arguments::Arguments(std::span<char* const> words) {
  for (const char* each : words) {
    const std::string text = each;
    const auto equals = text.find('=');
    if (equals == std::string::npos) throw std::invalid_argument("not key=value: " + text);
    values_[text.substr(0, equals)] = text.substr(equals + 1);
  }
}

const std::string& Arguments::get(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) throw std::invalid_argument("missing argument: " + key);
  return found->second;
}

std::string Arguments::get(const std::string& key, const std::string& fallback) const {
  const auto found = values_.find(key);
  return found == values_.end() ? fallback : found->second;
}

long Arguments::number(const std::string& key, long fallback) const {
  const auto found = values_.find(key);
  return found == values_.end() ? fallback : std::stol(found->second);
}

int run_main(std::span<const Group> groups, int argc, char** argv) try {
  const std::vector<char*> words(argv, argv + argc);
  if (words.size() < 2) throw std::invalid_argument("a group is missing");
  const bool list = std::string_view(words[1]) == "list";
  if (list && words.size() < 3) throw std::invalid_argument("list: a group is missing");
  const std::string_view wanted = words[list ? 2 : 1];
  const auto slash = wanted.find('/');
  const std::string_view group_name = wanted.substr(0, slash);
  const std::string_view only = slash == std::string_view::npos ? "" : wanted.substr(slash + 1);
  const auto group = std::ranges::find(groups, group_name, &Group::name);
  if (group == groups.end()) throw std::invalid_argument("no such group: " + std::string(group_name));
  if (list) {
    for (const Act& act : group->acts) std::printf("%.*s\n", static_cast<int>(act.name.size()), act.name.data());
    return 0;
  }
  return run_group(*group, only, Arguments(std::span(words).subspan(2)));
} catch (const std::exception& failure) {
  std::fprintf(stderr, "probe: %s\n", failure.what());
  return 2;
}

long raw_call(unsigned long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
              unsigned long f) noexcept {
  long result = 0;
  register unsigned long r10 asm("r10") = d;
  register unsigned long r8 asm("r8") = e;
  register unsigned long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

long call(unsigned long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
          unsigned long f) noexcept {
  const long result = raw_call(number, a, b, c, d, e, f);
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

int in_child(const std::function<int()>& body, int seconds) {
  const pid_t child = agentrun::check(fork(), "fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(body());
  }
  const auto deadline = Clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (Clock::now() < deadline) {
    if (waitpid(child, &status, WNOHANG) == child) return status;
    usleep(2000);
  }
  kill(child, SIGKILL);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

void own_mounts() noexcept {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return;
  mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
}

}  // namespace probe
