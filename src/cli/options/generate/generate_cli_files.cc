// Runs when agent-run is built: writes a shell completion, or checks a man page, by the option table.
//   cli-generate bash|zsh|fish OUTPUT
//   cli-generate man OUTPUT PAGE SOURCE     OUTPUT is an empty file: the page agrees with the table
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <string>

#include "cli/options/generate/completions.h"
#include "cli/options/generate/man_options.h"

namespace {

int write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return 0;
  std::cerr << "cannot write " << path << "\n";
  return 1;
}

int check_page(const std::string& output, const std::string& page, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string source((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto wrong = agentrun::cli::wrong_options(page, source);
  for (const std::string& line : wrong) std::cerr << line << " (src/cli/options/option_table.cc)\n";
  return wrong.empty() ? write(output, "") : 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace agentrun::cli;
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  if (words.size() == 5 && std::string(words[1]) == "man") return check_page(words[2], words[3], words[4]);
  const std::string kind = words.size() == 3 ? words[1] : "";
  if (kind == "bash") return write(words[2], bash_completion());
  if (kind == "zsh") return write(words[2], zsh_completion());
  if (kind == "fish") return write(words[2], fish_completion());
  std::cerr << "usage: cli-generate bash|zsh|fish OUTPUT, or cli-generate man OUTPUT PAGE SOURCE\n";
  return 2;
}
