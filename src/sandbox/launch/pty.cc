// Opens the agent's terminal in the sandbox's devpts, with the settings of the caller's terminal.
#include "sandbox/launch/pty.h"

#include <agentrun/sys/error.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace agentrun::sandbox {

Terminal open_terminal() {
  constexpr const char* path = "/dev/pts/ptmx";
  Terminal terminal;
  terminal.master.reset(check(::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC), "open", path));
  const int unlock = 0;
  check(::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock), "TIOCSPTLCK", path);
  terminal.slave.reset(
      check(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "TIOCGPTPEER", path));
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    termios settings{};
    winsize size{};
    if (::tcgetattr(fd, &settings) != 0) continue;
    check(::tcsetattr(terminal.slave.get(), TCSANOW, &settings), "tcsetattr", path);
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0)
      check(::ioctl(terminal.slave.get(), TIOCSWINSZ, &size), "TIOCSWINSZ", path);
    break;
  }
  return terminal;
}

void take_terminal(const Fd& slave) {
  check(::ioctl(slave.get(), TIOCSCTTY, 0), "TIOCSCTTY", "/dev/pts");
}

void give_foreground(const Fd& slave, pid_t group) {
  check(::tcsetpgrp(slave.get(), group), "tcsetpgrp", "/dev/pts");
}

void replace_standard_terminals(const Fd& slave) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::isatty(fd) == 1) check(::dup2(slave.get(), fd), "dup2", std::to_string(fd));
}

}  // namespace agentrun::sandbox
