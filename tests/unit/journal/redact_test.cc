#include <agentrun/journal/redact.h>
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace agentrun::journal;

namespace {
using Words = std::vector<std::string>;
Words after(const Redactor& redactor, Words words) {
  redactor.apply(words);
  return words;
}
bool is_digest(const std::string& word) {
  return word.starts_with("hmac:") && word.size() == 21 && word.find_first_not_of("0123456789abcdef", 5) == std::string::npos;
}
}  // namespace

TEST_CASE("words, values of names and values of options are replaced; all else stays") {
  const Redactor redactor({"*TOKEN*", "sk-*", "p?ss"});
  const Words words = after(redactor, {"curl", "-H", "my_token=abc=d", "--token", "next", "--token=x", "sk-1", "PASS", "pss", "ask-1", ""});
  CHECK(words[0] == "curl");
  CHECK(words[1] == "-H");
  CHECK(words[2].starts_with("my_token="));
  CHECK(is_digest(words[2].substr(9)));
  CHECK(words[3] == "--token");
  CHECK(is_digest(words[4]));
  CHECK(words[5].starts_with("--token=hmac:"));
  CHECK(is_digest(words[6]));
  CHECK(is_digest(words[7]));
  CHECK(words[8] == "pss");
  CHECK(words[9] == "ask-1");
  CHECK(words[10].empty());
  Words again{"sk-1", "plain", "--token", "--token", "v"};
  CHECK(redactor.apply(again) == 2);
  CHECK(again[0] == words[6]);  // the same word, the same digest
  CHECK(is_digest(again[3]));
  CHECK(again[4] == "v");
}

TEST_CASE("salts differ between runs; nothing is replaced without patterns") {
  const Redactor one({"*"});
  const Redactor other({"*"});
  CHECK(after(one, {"x"}) != after(other, {"x"}));
  CHECK(after(one, {"x"}) != after(one, {"y"}));
  CHECK(after(Redactor(), {"secret"}) == Words{"secret"});
  CHECK(Redactor().empty());
}

TEST_CASE("patterns with many stars take no long time") {
  const Redactor redactor({"*a*a*a*a*a*a*a*a*a*a*a*a*a*b"});
  CHECK(after(redactor, {std::string(100'000, 'a')}).front().size() == 100'000);
  CHECK(is_digest(after(redactor, {std::string(1000, 'a') + "B"}).front()));
}
