// What the completions of all shells share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options/option_table.h"

namespace agentrun::cli {

/// The spellings of an option that are offered: not the old one.
inline std::vector<std::string_view> spellings(const OptionRow& option) {
  std::vector<std::string_view> all{option.name};
  if (!option.short_name.empty()) all.push_back(option.short_name);
  return all;
}

/// "jsonl|ocsf" as "jsonl ocsf".
inline std::string spaced(std::string_view words) {
  std::string text(words);
  for (char& c : text)
    if (c == '|') c = ' ';
  return text;
}

/// `text` in single quotes, for bash and zsh.
inline std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The words that may stand first: "check", "journal", each once.
inline std::vector<std::string_view> first_words() {
  std::vector<std::string_view> words;
  for (const CommandRow& command : command_table()) {
    const std::string_view word = group_of(command.name);
    if (words.empty() || words.back() != word) words.push_back(word);
  }
  return words;
}

/// Is `word` the first of commands of two words?
inline bool is_group(std::string_view word) {
  for (const CommandRow& command : command_table())
    if (words_in(command.name) == 2 && group_of(command.name) == word) return true;
  return false;
}

/// The second word of "journal show".
inline std::string_view second_word(std::string_view name) {
  return name.substr(group_of(name).size() + 1);
}

/// What stands in a word list of a shell for the profiles that are shipped.
inline std::string profile_words() {
  for (const OptionRow& option : option_table())
    if (option.names == Names::profile) return spaced(option.words);
  return {};
}

}  // namespace agentrun::cli
