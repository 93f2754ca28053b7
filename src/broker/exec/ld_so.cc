// Finds the program in the command line of the dynamic loader, ld.so(8).
#include "broker/exec/ld_so.h"

#include <algorithm>
#include <array>

namespace agentrun::broker {

namespace {
// glibc 2.36, elf/rtld.c; musl has --list, --library-path, --preload, --argv0 too.
constexpr std::array<std::string_view, 7> with_value = {
    "--library-path",         "--inhibit-rpath",    "--audit", "--preload", "--argv0",
    "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask"};
constexpr std::array<std::string_view, 3> without_value = {"--list", "--verify", "--inhibit-cache"};
constexpr std::array<std::string_view, 4> starting_nothing = {"--help", "--version", "--list-tunables",
                                                              "--list-diagnostics"};

template <typename Set>
bool has(const Set& set, std::string_view word) {
  return std::find(set.begin(), set.end(), word) != set.end();
}
}  // namespace

bool is_loader(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const bool begins = name.starts_with("ld-linux") || name.starts_with("ld-musl") || name.starts_with("ld-2.") ||
                      name.starts_with("ld64.so") || name == "ld.so" || name.starts_with("ld.so.");
  return begins && name.find(".so") != std::string_view::npos;
}

policy::Policy::Arguments arguments_of(std::span<const std::string> argv, bool complete) {
  if (!complete && !argv.empty()) argv = argv.first(argv.size() - 1);
  return {.words = argv.empty() ? argv : argv.subspan(1), .complete = complete};
}

Launched launched_by_loader(std::span<const std::string> argv) {
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (!word.starts_with("--")) {
      if (word.find('/') == std::string::npos)
        return {.kind = Launched::Kind::unknown, .path = word};  // the loader searches for it
      return {.kind = Launched::Kind::program, .path = word, .index = i};
    }
    if (has(starting_nothing, word)) return {};
    if (has(with_value, word))
      ++i;
    else if (!has(without_value, word))
      return {.kind = Launched::Kind::unknown, .path = word};
  }
  return {};
}

}  // namespace agentrun::broker
