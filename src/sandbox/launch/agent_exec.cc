// Searches PATH and executes the command, as execvp(3) does.
#include "sandbox/launch/agent_exec.h"

#include <agentrun/sys/error.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace agentrun::sandbox {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

/// Returns the errno of one attempt.
int attempt(const std::string& file, const std::vector<std::string>& argv, char* const* environment) {
  ::execve(file.c_str(), pointers(argv).data(), environment);
  if (errno != ENOEXEC) return errno;
  std::vector<std::string> script{"/bin/sh", file};
  script.insert(script.end(), argv.begin() + 1, argv.end());
  ::execve(script.front().c_str(), pointers(script).data(), environment);
  return errno;
}

// The errnos after which execvp(3) tries the next directory.
constexpr int not_here[] = {ENOENT, ENOTDIR, EACCES, ESTALE, ENODEV, ETIMEDOUT};

}  // namespace

std::vector<std::string> exec_candidates(const std::string& name, const std::vector<std::string>& environment) {
  if (name.empty()) return {};
  if (name.find('/') != std::string::npos) return {name};
  std::string_view path = "/bin:/usr/bin";
  constexpr std::string_view key = "PATH=";
  for (const std::string& variable : environment)
    if (variable.starts_with(key)) path = std::string_view(variable).substr(key.size());
  std::vector<std::string> files;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string directory(path.substr(begin, end - begin));
    files.push_back(directory.empty() ? name : directory + "/" + name);
    begin = end + 1;
  }
  return files;
}

void execute_in_path(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
  const auto environ_pointers = pointers(environment);
  int error = ENOENT;
  for (const std::string& file : exec_candidates(argv.front(), environment)) {
    const int now = attempt(file, argv, environ_pointers.data());
    if (std::ranges::find(not_here, now) == std::end(not_here)) throw SysError(now, "execve", file);
    if (now == EACCES || error != EACCES) error = now == EACCES ? EACCES : now;
  }
  throw SysError(error, "execve", argv.front());
}

int exec_status(int error) noexcept {
  return error == ENOENT ? 127 : 126;
}

}  // namespace agentrun::sandbox
