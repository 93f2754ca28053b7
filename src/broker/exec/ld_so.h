// ld.so as a launcher (ld.so(8)): `ld-linux-x86-64.so.2 [OPTIONS] PROGRAM [ARGUMENTS]` maps and starts PROGRAM, which
// the kernel never executes. The program to judge is then its argument. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <agentrun/policy.h>

namespace agentrun::broker {

/// Is this the path of a dynamic loader of glibc or musl?
bool is_loader(std::string_view path);

struct Launched {
  enum class Kind : unsigned char {
    nothing,  // only options that start nothing (--help, --version, …), or no program at all
    program,  // `path`: as written; with a '/' or it cannot be judged
    unknown,  // an option that this version does not know: what it starts is not known
  } kind{};
  std::string path;
  std::size_t index = 0;  // of the program in argv
};
/// What the loader will start, by its arguments; argv[0] is the loader's own name.
Launched launched_by_loader(std::span<const std::string> argv);

/// What a policy wants to know of a copied argv. Of one that was cut, the last word is not whole and does not count.
policy::Policy::Arguments arguments_of(std::span<const std::string> argv, bool complete);

}  // namespace agentrun::broker
