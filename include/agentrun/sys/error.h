// Errors: set-up throws, decisions return values, nothing is thrown across a fork or a C call-back.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace agentrun {

/// A system call that failed: which call, on which object, with which errno.
/// what() reads "mount /proc: Operation not permitted".
class SysError : public std::system_error {
 public:
  SysError(int error, std::string_view call, std::string_view object);
  [[nodiscard]] const std::string& call() const noexcept { return call_; }
  [[nodiscard]] const std::string& object() const noexcept { return object_; }
  [[nodiscard]] int error() const noexcept { return code().value(); }

 private:
  std::string call_;
  std::string object_;
};

/// agent-run refuses a request: one line says what and where, another gives the remedy.
/// The command line prints both and exits with 125 (design.md §10).
class Refusal : public std::runtime_error {
 public:
  explicit Refusal(const std::string& what, std::string remedy = {})
      : std::runtime_error(what), remedy_(std::move(remedy)) {}
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

 private:
  std::string remedy_;
};

/// Throws SysError with the present errno.
[[noreturn]] void throw_errno(std::string_view call, std::string_view object = {});

/// Passes `result` through, or throws SysError when it is negative (the convention of system calls: -1 and errno).
template <typename T>
T check(T result, std::string_view call, std::string_view object = {}) {
  if (result < 0) throw_errno(call, object);
  return result;
}

/// Repeats `call` while it fails with EINTR.
template <typename F>
auto retry_eintr(F&& call) {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

/// The symbolic name of an errno, "EACCES"; "E?" for a number that has none.
std::string_view errno_name(int error) noexcept;

}  // namespace agentrun
