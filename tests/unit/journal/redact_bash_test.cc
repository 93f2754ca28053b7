// Shell strings are cut and redacted as bash itself splits them: generated strings, and bash as the judge.
#include <agentrun/journal/redact.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "journal/redact/shell_words.h"
#include "scratch.h"

using namespace agentrun::journal;

namespace {

using Strings = std::vector<std::string>;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  template <std::size_t n>
  std::string any(const std::array<const char*, n>& of) {
    return of[below(n)];
  }

  // Something that bash reads as exactly `plain`.
  std::string quoted(const std::string& plain) {
    switch (below(7)) {
      case 0:
        return in_double_quotes(plain);
      case 1:
        return in_ansi_c_quotes(plain);
      case 2:
        return with_backslashes(plain);
      case 3:
        return "\"$(printf %s " + in_single_quotes(plain) + ")\"";
      case 4:
        return "\"${UNSET:-" + in_double_quotes(plain) + "}\"";
      case 5: {
        const std::size_t cut = plain.find('S', 1);
        return cut == std::string::npos ? in_single_quotes(plain)
                                        : in_ansi_c_quotes(plain.substr(0, cut)) + in_single_quotes(plain.substr(cut));
      }
      default:
        return in_single_quotes(plain);
    }
  }

  std::string secret() {
    static constexpr std::array<const char*, 12> between = {" ", "'",   "\"", "$", "`",  "\\",
                                                            ";", " ' ", "\n", "é", ") ", "# "};
    return "S3CR3T" + any(between) + "S4CR4T";
  }

  std::string command(const std::string& secret) {
    const std::string name = below(3) == 0 ? quoted("--token") : "--token";
    switch (below(5)) {
      case 0:
        return "show --token=" + quoted(secret);
      case 1:
        return "show 2>/dev/null " + name + " >&2 " + quoted(secret) + " x";
      case 2:
        return "MY_TOKEN=" + quoted(secret) + " show a";
      case 3:
        return "show --token <(: 'a b') " + name + " " + quoted(secret);
      default:
        return "show a=b " + name + " " + quoted(secret) + " 'y z'";
    }
  }

  std::string nested(const std::string& script) {
    static constexpr std::array<const char*, 8> before = {"# don't\n",
                                                          "cat >/dev/null <<EOF\ndon't \"\nEOF\n",
                                                          "echo \"it's\" >/dev/null; ",
                                                          "a='x y'; ",
                                                          "x=\"$(case x in a) echo '\"';; esac)\"; ",
                                                          "cat >/dev/null <<< \"it's\"; ",
                                                          ": $((1 << 2)) ${#a} ${a#\\'}; ",
                                                          ": `echo \\`echo \"'\"\\``\n"};
    switch (below(8)) {
      case 0:
        return "bash -c " + quoted(script);
      case 1:
        return "env A=B bash -c " + quoted(script);
      case 2:
        return "eval " + quoted(script);
      case 3:
        return " (" + script + ")";
      case 4:
        return "echo \"$(" + script + ")\"";
      case 5:
        return "if true; then " + script + "\nfi";
      default:
        return any(before) + script;
    }
  }

  std::string noise() {
    static constexpr std::array<const char*, 16> parts = {"a",  "b",  " ",   "  ",   "'",    "'",    "\"", "\"",
                                                          "\\", "$'", "\\'", "\\\"", "\\\\", "\\\n", "#",  "\\x41"};
    std::string text;
    for (unsigned left = below(12); left > 0; --left) text += any(parts);
    return text;
  }

 private:
  static std::string in_single_quotes(const std::string& plain) {
    std::string text = "'";
    for (const char c : plain) text += c == '\'' ? "'\\''" : std::string(1, c);
    return text + "'";
  }
  static std::string in_double_quotes(const std::string& plain) {
    std::string text = "\"";
    for (const char c : plain)
      text += (std::string("$`\"\\").find(c) != std::string::npos ? "\\" : "") + std::string(1, c);
    return text + "\"";
  }
  static std::string with_backslashes(const std::string& plain) {
    std::string text;
    for (const char c : plain)
      text += c == '\n'                                                                ? "'\n'"
              : std::string(" '\"$`\\;()#&|<>*?[]{}!~\t").find(c) != std::string::npos ? std::string("\\") + c
                                                                                       : std::string(1, c);
    return text;
  }
  // The letters of the secret stay, so that they are found where it stays.
  std::string in_ansi_c_quotes(const std::string& plain) {
    std::string text = "$'";
    for (const char c : plain) {
      constexpr std::string_view digits = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      const bool letter = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!letter && below(2) == 0)
        text += std::string("\\x") + digits[byte >> 4] + digits[byte & 15];
      else
        text += (c == '\'' || c == '\\' ? "\\" : "") + std::string(1, c);
    }
    return text + "'";
  }

  std::mt19937 random_;
};

// Each of `inputs` is $s of `body`, in one bash; gives what it wrote to descriptor 3 for each.
Strings ask_bash(const Strings& inputs, const std::string& body) {
  const journal_test::Scratch scratch;
  const std::filesystem::path in = scratch.path() / "in", out = scratch.path() / "out",
                              program = scratch.path() / "program";
  std::ofstream in_file(in), program_file(program);
  for (const std::string& one : inputs) in_file << one << '\0';
  program_file << "exec 3>" << out << " 4<" << in
               << " </dev/null >/dev/null 2>&1\nshow() { printf '%s\\0' \"$MY_TOKEN\" \"$@\" >&3; }\nexport -f show\n"
               << "while IFS= read -r -d '' s <&4; do\n"
               << body << "\nprintf '\\1' >&3\ndone\n";
  in_file.close();
  program_file.close();
  REQUIRE(std::system(("exec bash --norc --noprofile " + program.string()).c_str()) == 0);
  std::ifstream answer(out);
  const std::string all{std::istreambuf_iterator<char>(answer), {}};
  Strings results;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = all.find('\1', at);
    results.push_back(all.substr(at, end - at));
    at = end + 1;
  }
  REQUIRE(results.size() == inputs.size());
  return results;
}

}  // namespace

TEST_CASE("words are cut where bash cuts them") {
  Generator generator(1);
  Strings inputs;
  for (int count = 0; count < 4000; ++count)
    inputs.push_back("set -- " + generator.noise() + " z");  // not "\\" last: bash is not of one mind
  const Strings said = ask_bash(inputs, R"(set --; if eval "$s"; then printf '+' >&3; printf '%s\0' "$@" >&3; fi)");
  std::size_t compared = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CAPTURE(inputs[i]);
    const ShellWords cut = cut_shell_words(inputs[i]);
    const bool another = std::ranges::any_of(
        cut.words, [](const ShellWord& word) { return word.command > 0 && word.role == ShellWord::Role::word; });
    if (another) continue;  // on a second line: it fails as a command, and says nothing of the cut
    CHECK(cut.sound == said[i].starts_with('+'));
    if (!cut.sound) continue;
    std::string ours = "+";
    for (std::size_t word = 2; word < cut.words.size(); ++word) {
      if (cut.words[word].role == ShellWord::Role::word) ours += cut.words[word].text() + '\0';
    }
    if (cut.words.size() <= 2 || ours == "+")
      ours = said[i].size() == 2 ? said[i] : "+";  // printf writes one empty word for none
    CHECK(ours == said[i]);
    ++compared;
  }
  CHECK(compared > 1000);
}

TEST_CASE("no secret that bash hands to a program stays in its shell string") {
  Generator generator(2);
  Strings scripts, secrets;
  for (int count = 0; count < 500; ++count) {
    secrets.push_back(generator.secret());
    std::string script = generator.command(secrets.back());
    for (unsigned level = generator.below(4); level > 0; --level) script = generator.nested(script);
    scripts.push_back(script);
  }
  const Strings said = ask_bash(scripts, R"((eval "$s"))");
  const Redactor redactor({"--token", "my_token"});
  std::size_t whole = 0;
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    CAPTURE(scripts[i]);
    CHECK(said[i].find(secrets[i]) != std::string::npos);  // the control: bash did hand it over
    Strings words{"bash", "-c", scripts[i]};
    redactor.apply(words);
    CAPTURE(words[2]);
    CHECK(words[2].find("3CR3T") == std::string::npos);
    CHECK(words[2].find("4CR4T") == std::string::npos);
    whole += words[2].starts_with("hmac:") && words[2].size() == 21;
  }
  CHECK(whole < scripts.size() / 10);  // what is not secret can still be read
}
