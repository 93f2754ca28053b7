// Settings of git, as git itself reads them: no other parser decides what a file of an earlier run's agent says.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace agentrun::supervisor {

/// (key, value): the key as `git config --list` prints it, section and name in small letters.
using GitSettings = std::vector<std::pair<std::string, std::string>>;

/// The content of a regular file, read at once and without waiting (a FIFO is no such file); nullopt when there is none
/// that this user can read. Throws Refusal when it is longer than `limit`.
std::optional<std::string> read_regular(const std::string& path, std::size_t limit);

/// Does the text say something that names files which git executes or reads settings from? Keys and names of sections
/// cannot be split or escaped in git's format (git-config(1), Syntax), so what does not hold these words says nothing
/// of the kind.
bool names_other_files(const std::string& text);

/// What these bytes say, by git's own parser: `git config --file - --no-includes --null --list` with an empty
/// environment, the bytes on its standard input, bounded in time and output. Empty when git cannot read them: then it
/// obeys them nowhere. `origin` is for errors. Throws Refusal when there is no git, or when it does not end.
GitSettings parse_git_settings(const std::string& text, const std::string& origin);

}  // namespace agentrun::supervisor
