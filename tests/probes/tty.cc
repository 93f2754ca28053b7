// T1: putting input into the user's terminal, so that a shell outside reads it after the run. Standard input is the
// terminal. Argument: text=what to inject.
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <array>

#include "probe.h"

namespace {

using probe::address;
using probe::Arguments;
using probe::Outcome;

constexpr unsigned long above_32_bits = 1UL << 32;

Outcome inject(const Arguments& a, unsigned long high_bits) {
  const std::string text = a.get("text") + "\n";
  for (const char& byte : text)
    if (probe::call(SYS_ioctl, 0, high_bits | TIOCSTI, address(&byte)) < 0) return probe::from(-1);
  return {};
}

/// Selection and paste on a virtual console; on any other terminal the kernel says ENOTTY, which means that it looked.
Outcome console_paste(const Arguments&) {
  const char paste = 3;
  return probe::reached(probe::call(SYS_ioctl, 0, TIOCLINUX, address(&paste)));
}

const std::array acts{
    probe::Act{"tiocsti", [](const Arguments& a) { return inject(a, 0); }},
    probe::Act{"tiocsti-high", [](const Arguments& a) { return inject(a, above_32_bits); }},
    probe::Act{"tioclinux", console_paste},
};

}  // namespace

int main(int argc, char** argv) {
  const std::array groups{probe::Group{"tty", acts}};
  return probe::run_main(groups, argc, argv);
}
