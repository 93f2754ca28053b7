#include "journal/format/note.h"

#include <agentrun/sys/error.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/format/encode.h"

using namespace agentrun;
using namespace agentrun::journal;

namespace {
// The example of the documentation of golang.org/x/mod/sumdb/note.
constexpr const char* peter = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const std::string peters_text =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const std::string peters_note =
    peters_text +
    "\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

Key test_key(std::string name, std::uint8_t fill) {
  std::array<std::uint8_t, 32> seed{};
  seed.fill(fill);
  return Key::from_seed(std::move(name), seed);
}

std::optional<Note> whole(std::string_view input) {
  auto note = take_note(input);
  return input.empty() ? note : std::nullopt;
}
}  // namespace

TEST_CASE("Ed25519 (RFC 8032 §7.1, test 1)") {
  std::array<std::uint8_t, 32> seed{};
  REQUIRE(decode_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed));
  const Key key = Key::from_seed("x", seed);
  CHECK(hex(key.public_bytes()) == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const auto signature = key.sign("");
  CHECK(hex(signature) ==
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "2465514143"
        "8e7a100b");
  CHECK(key.verify("", signature));
  CHECK_FALSE(key.verify("x", signature));
  CHECK_FALSE(key.verify("", std::span(signature).first(63)));
  CHECK_FALSE(key.verify("", {}));
}

TEST_CASE("a signed note made by another program verifies") {
  const Key key = Key::from_vkey(peter);
  CHECK(key.vkey() == peter);
  const auto note = whole(peters_note);
  REQUIRE(note.has_value());
  CHECK(note->text == peters_text);
  CHECK(signed_by(*note, key) == Signed::valid);
  CHECK(signed_by(*note, test_key("PeterNeumann", 1)) == Signed::absent);
  CHECK_THROWS_AS((void)key.sign("x"), std::logic_error);
}

TEST_CASE("every altered byte of a note is found") {
  const Key key = Key::from_vkey(peter);
  for (std::size_t i = 0; i < peters_note.size(); ++i) {
    for (const char flip : {'\x01', '\x20', '\x80'}) {
      std::string altered = peters_note;
      altered[i] = static_cast<char>(altered[i] ^ flip);
      const auto note = whole(altered);
      CAPTURE(altered);
      CHECK((!note || signed_by(*note, key) != Signed::valid));
    }
  }
}

TEST_CASE("a vkey has one form only") {
  const std::string good = peter;
  CHECK_NOTHROW((void)Key::from_vkey(good));
  const std::vector<std::string> bad{"",
                                     "+",
                                     "++",
                                     good + "\n",
                                     " " + good,
                                     good + "=",
                                     good.substr(0, good.size() - 1),
                                     "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "PeterNeumann+0c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
                                     "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                                     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW+"};
  for (const std::string& vkey : bad) {
    CAPTURE(vkey);
    CHECK_THROWS_AS((void)Key::from_vkey(vkey), Refusal);
  }
  CHECK_THROWS_AS((void)Key::generate("a+b"), Refusal);
  CHECK_THROWS_AS((void)test_key("", 1), Refusal);
  CHECK_THROWS_AS((void)test_key("x", 1).renamed("a b"), Refusal);
}

TEST_CASE("a signed note: form, several keys, names") {
  const Key a = test_key("origin", 1);
  const Key b = test_key("origin/e0", 2);
  const std::array<const Key*, 2> keys{&a, &b};
  const std::string text = checkpoint_text({.origin = "origin", .size = 0, .root = sha256("")});
  CHECK(text == "origin\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
  const std::string signed_text = sign_note(text, keys);
  const auto note = whole(signed_text);
  REQUIRE(note.has_value());
  CHECK(note->signatures.size() == 2);
  CHECK(signed_by(*note, a) == Signed::valid);
  CHECK(signed_by(*note, b) == Signed::valid);
  CHECK(signed_by(*note, a.renamed("origin2")) == Signed::absent);
  CHECK(signed_by(*note, Key::from_vkey(b.vkey())) == Signed::valid);
  for (const char* bad : {"", "no line feed", "two\n\nparts\n", "\nempty first\n", "tab\t\n", "\xff\n"}) {
    CHECK_THROWS_AS((void)sign_note(bad, keys), Refusal);
  }
}

// docs/design/journal-format.md §5; tests/e2e/docs compares the page with openssl(1).
TEST_CASE("the test vector: vkey and signed checkpoint") {
  std::array<std::uint8_t, 32> seed{};
  REQUIRE(decode_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed));
  const Key unnamed = Key::from_seed("x", seed);
  const Key identity = unnamed.renamed(identity_name(unnamed));
  CHECK(identity.vkey() == "agent-run/21fe31dfa154a261+45bb656c+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea");
  const std::string origin = identity.name() + "/20261122T103000123-5f0c2a91";
  Tree tree;
  for (int i = 0; i < 1000; ++i)
    tree.add(leaf_hash(R"({"a":"deny","nr":257,"seq":)" + std::to_string(i) + R"(,"sys":"openat"})"));
  const Key key = identity.renamed(origin);
  const std::array<const Key*, 1> keys{&key};
  CHECK(sign_note(checkpoint_text({.origin = origin, .size = tree.size(), .root = tree.root()}), keys) ==
        origin + "\n1000\nKQOlH6wPqJZ5W5Jq5dszMzcr53YLAaZy4EkwKlYDuZA=\n\n\u2014 " + origin +
            " Sx1mkyAlI8PDSmdn1qVG7or9W1x7d/j2peqBKS+zN/8xnoOBuweDx2xxJ4YyeatZ7rhRdVZQ+IcFPUkm0E98RTpFDQw=\n");
}

TEST_CASE("the note parser accepts the exact form only") {
  const Key a = test_key("o", 1);
  const std::array<const Key*, 1> keys{&a};
  const std::string good = sign_note("text\n", keys);
  const std::string line = good.substr(6);
  REQUIRE(whole(good).has_value());
  const std::vector<std::string> bad{"",
                                     "text\n",
                                     "text\n\n",
                                     good + "x",
                                     good + "\n",
                                     good.substr(0, good.size() - 1),
                                     "text\r\n\n" + line,
                                     "text\n\n- o AAAAAAA=\n",
                                     "text\n\n\u2014  AAAAAAA=\n",
                                     "text\n\n\u2014 o\n",
                                     "text\n\n\u2014 o AAAA\n",
                                     "text\n\n\u2014 o AAAAAA==\n",
                                     "text\n\n\u2014 o AAAAAAB=\n",
                                     "text\n\n\u2014 o AAAAAAA= \n",
                                     "text\n\n\u2014 o+p AAAAAAA=\n",
                                     "\n\n" + line,
                                     "a\n\nb\n\n" + line,
                                     std::string("te\0xt\n\n", 7) + line};
  for (const std::string& input : bad) {
    CAPTURE(input);
    CHECK_FALSE(whole(input).has_value());
  }
  CHECK(signed_by(*whole("text\n\n" + line + line), a) == Signed::invalid);
  CHECK(signed_by(*whole("text\n\n\u2014 witness AAAAAAA=\n" + line), a) == Signed::valid);
  std::string many = "text\n\n";
  for (std::size_t i = 0; i < max_signatures; ++i) many += line;
  CHECK(whole(many).has_value());
  CHECK_FALSE(whole(many + line).has_value());
}

TEST_CASE("notes are read one after another from a file") {
  const Key a = test_key("o", 1);
  const std::array<const Key*, 1> keys{&a};
  const std::string both = sign_note("one\n", keys) + sign_note("two\n", keys);
  std::string_view rest = both;
  CHECK(take_note(rest)->text == "one\n");
  CHECK(take_note(rest)->text == "two\n");
  CHECK(rest.empty());
  CHECK_FALSE(take_note(rest).has_value());
}

TEST_CASE("the checkpoint parser accepts three lines only") {
  const std::string root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  const auto good = parse_checkpoint("o\n17\n" + root + "\n");
  REQUIRE(good.has_value());
  CHECK(good->origin == "o");
  CHECK(good->size == 17);
  CHECK(good->root == sha256(""));
  for (const std::string& bad : {"\n17\n" + root + "\n", "o\n017\n" + root + "\n", "o\n-1\n" + root + "\n",
                                 "o\n\n" + root + "\n", "o\n17\n" + root, "o\n17\n" + root + "\nextension\n",
                                 "o\n17\n" + root.substr(1) + "\n", std::string("o\n17\nAAAA\n"),
                                 "o\n99999999999999999999\n" + root + "\n", std::string("o\n17\n"), std::string()}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_checkpoint(bad).has_value());
  }
}

TEST_CASE("a forked child has no private key") {
  const Key key = Key::generate("x");
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 1;
    try {
      (void)key.sign("forged");
    } catch (const std::logic_error&) {
      code = 0;
    }
    ::_exit(code);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(key.verify("mine", key.sign("mine")));
}
