// Handles ld.so as a launcher (ld.so(8)): `ld-linux-x86-64.so.2 [OPTIONS] PROGRAM [ARGUMENTS]` maps and starts PROGRAM,
// which the kernel never executes. So PROGRAM has to be judged too. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <agentrun/policy.h>

namespace agentrun::broker {

/// Is this the path of glibc's or musl's dynamic loader?
bool is_loader(std::string_view path);

struct Launched {
  enum class Kind : unsigned char {
    nothing,  // only options that start nothing (--help, --version, …), or no program at all
    program,  // `path`, as written, with a '/': a name without one cannot be judged
    unknown,  // an unknown option, or a name without '/': the program cannot be told
  } kind{};
  std::string path;
  std::size_t index = 0;  // of the program in argv
};
/// Tells from the arguments what the loader will start. argv[0] is the loader's own name.
Launched launched_by_loader(std::span<const std::string> argv);

/// A copied argv as the policy takes it. The last word of a cut argv is not whole and is dropped.
policy::Policy::Arguments arguments_of(std::span<const std::string> argv, bool complete);

}  // namespace agentrun::broker
