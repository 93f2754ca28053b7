// ld.so as a launcher (ld.so(8)): `ld-linux-x86-64.so.2 [OPTIONS] PROGRAM [ARGUMENTS]` maps and starts PROGRAM, which the
// kernel never executes. The program to judge is then its argument. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace agentrun::broker {

/// Is this the path of a dynamic loader of glibc or musl?
bool is_loader(std::string_view path);

struct Launched {
  enum class Kind : unsigned char {
    nothing,  // only options that start nothing (--help, --version, …), or no program at all
    program,  // `path`: as written; with a '/' or it cannot be judged
    unknown,  // an option that this version does not know: what it starts cannot be told
  } kind{};
  std::string path;
};
/// What the loader will start, by its arguments; argv[0] is the loader's own name.
Launched launched_by_loader(std::span<const std::string> argv);

}  // namespace agentrun::broker
