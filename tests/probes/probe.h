// Support of the probes: programs that misbehave on purpose and say what they got.
//
// A probe is a set of groups of acts. `PROBE GROUP [key=value…]` tries every act of a group, `PROBE GROUP/ACT …` one,
// `PROBE list GROUP` prints their names. Each act runs in a child of its own, so that one that changes or kills its
// process does not touch the next. The exit status is 0 whatever the acts got; 2 for wrong usage.
//
// One line an act:  ACT <name> <ok|errno name|signal-NAME|timeout|not-on-this-machine> [detail]
// `ok` means that the forbidden effect was reached, not that some call returned 0. `not-on-this-machine`: what the act
// needs was tried and is not there, so nobody could do it here.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace probe {

/// What an act got.
struct Outcome {
  int error = 0;  // 0: it worked
  std::string detail;
  bool absent = false;  // what it needs is not on this machine: error says nothing
};

/// The outcome of an act that needs what was tried and is not there.
Outcome not_on_this_machine(std::string what);

/// The outcome of a call that returned `result` (negative: errno says why).
Outcome from(long result, std::string detail = {});

/// The outcome of a call with arguments that no kernel accepts: it worked when the kernel looked at them at all, that
/// is, when the error is none of those by which a filter refuses (EPERM, ENOSYS, EAFNOSUPPORT).
Outcome reached(long result);

/// ok when `happened`, else `error`.
Outcome effect(bool happened, int error, std::string detail = {});

/// The key=value arguments of the command line.
class Arguments {
 public:
  Arguments() = default;
  /// Throws std::invalid_argument for a word without '='.
  explicit Arguments(std::span<char* const> words);
  /// Throws std::invalid_argument when the key was not given.
  [[nodiscard]] const std::string& get(const std::string& key) const;
  [[nodiscard]] std::string get(const std::string& key, const std::string& fallback) const;
  [[nodiscard]] long number(const std::string& key, long fallback) const;

 private:
  std::map<std::string, std::string> values_;
};

struct Act {
  std::string_view name;
  std::function<Outcome(const Arguments&)> run;
};
struct Group {
  std::string_view name;
  std::span<const Act> acts;
};

/// The whole of a probe's main. Acts are given `limit` seconds each (argument limit=N, default 20).
int run_main(std::span<const Group> groups, int argc, char** argv);

/// A system call with full 64-bit registers, the number included: syscall(2) of the C library has no such promise.
/// Returns the kernel's answer: −errno on failure.
long raw_call(unsigned long number, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0, unsigned long d = 0,
              unsigned long e = 0, unsigned long f = 0) noexcept;

/// raw_call in the C convention: −1 and errno.
long call(unsigned long number, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0, unsigned long d = 0,
          unsigned long e = 0, unsigned long f = 0) noexcept;

inline unsigned long address(const void* pointer) noexcept {
  return reinterpret_cast<unsigned long>(pointer);
}

/// Runs `body` in a child and returns its wait status; kills it after `seconds` (status of SIGKILL then). The child
/// dies with its parent.
int in_child(const std::function<int()>& body, int seconds = 10);

/// Best effort to be alone with one's mounts: a mount namespace, with a user namespace where that is needed.
void own_mounts() noexcept;

}  // namespace probe
