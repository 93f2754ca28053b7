// Matches the arguments of a program against one glob a word.
#include "policy/match/exec_arguments.h"

#include <algorithm>

namespace agentrun::policy {

ArgumentsPattern::ArgumentsPattern(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "**")
      words_.emplace_back(std::nullopt);
    else
      words_.emplace_back(Glob(word));
  }
}

// ends[j]: do the pattern's words from the current one on match the arguments from j on? From the last word to the
// first.
ArgumentsPattern::Match ArgumentsPattern::match(std::span<const std::string> words, bool complete) const {
  const std::size_t size = words.size();
  std::vector<Match> ends(size + 1, Match::no);
  ends[size] = complete ? Match::yes : Match::no;
  for (std::size_t i = words_.size(); i-- > 0;) {
    if (!words_[i] && i + 1 == words_.size()) {  // takes the rest, also what is not known of it
      ends.assign(size + 1, Match::yes);
      continue;
    }
    std::vector<Match> now(size + 1, Match::no);
    const Match beyond = complete ? Match::no : Match::maybe;  // what is not known may be what this word wants
    for (std::size_t j = size + 1; j-- > 0;) {
      const Match next = j == size ? beyond : now[j + 1];
      if (!words_[i])
        now[j] = std::max(ends[j], next);
      else if (j == size)
        now[j] = beyond;
      else if (words_[i]->matches(words[j]))
        now[j] = ends[j + 1];
    }
    ends = std::move(now);
  }
  return ends[0];
}

}  // namespace agentrun::policy
