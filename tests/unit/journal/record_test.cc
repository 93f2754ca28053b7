#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <doctest/doctest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "journal/format/encode.h"

using namespace agentrun::journal;

namespace {
std::string one(std::string_view value) {
  Record record;
  record.begin();
  return std::string(record.text("k", value).line());
}

/// The line is canonical when a JSON library that sorts its keys writes the same bytes.
void check_canonical(std::string_view line) {
  REQUIRE(line.ends_with("}\n"));
  line.remove_suffix(1);
  CHECK(nlohmann::json::parse(line).dump() == line);
}
}  // namespace

TEST_CASE("canonical strings (RFC 8785 §3.2.2.2)") {
  const std::array<std::pair<std::string, std::string>, 12> table{{
      {"", R"("")"},
      {"plain text", R"("plain text")"},
      {"a \"quote\"", R"("a \"quote\"")"},
      {"back\\slash", R"("back\\slash")"},
      {"a/b", R"("a/b")"},
      {"\b\f\n\r\t", R"("\b\f\n\r\t")"},
      {std::string("\0\x01\x0b\x1f", 4), R"("\u0000\u0001\u000b\u001f")"},
      {"\x7f", "\"\x7f\""},
      {"\u20ac\u00f6\ufb33", "\"\u20ac\u00f6\ufb33\""},
      {"\u2028\u2029", "\"\u2028\u2029\""},
      {"</script>", R"("</script>")"},
      {"\U0001f600", "\"\U0001f600\""},
  }};
  for (const auto& row : table) {
    const auto& [value, json] = row;
    CAPTURE(row.second);
    CHECK(one(value) == "{\"k\":" + json + "}\n");
    check_canonical(one(value));
  }
}

TEST_CASE("each special byte is found at each offset of a long text") {
  for (const char special : {'"', '\\', '\n', '\x1f', '\x01'}) {
    for (std::size_t at = 0; at < 24; ++at) {
      std::string value(24, 'x');
      value[at] = special;
      check_canonical(one(value));
      CHECK(text_field(one(value), "k") == value);
    }
  }
}

TEST_CASE("numbers: integers, and strings beyond 2^53-1") {
  Record record;
  record.begin();
  record.number("a", 0).number("b", -1).number("c", 9007199254740991).number("d", 9007199254740992);
  record.number("e", -9007199254740991)
      .number("f", -9007199254740992)
      .number("g", INT64_MIN)
      .word("h", UINT64_MAX)
      .word("i", 1);
  CHECK(record.line() ==
        R"({"a":0,"b":-1,"c":9007199254740991,"d":"9007199254740992","e":-9007199254740991,"f":"-9007199254740992",)"
        R"("g":"-9223372036854775808","h":"18446744073709551615","i":"1"})"
        "\n");
}

TEST_CASE("other members, the empty record, and reuse") {
  Record record;
  CHECK(record.line() == "{}\n");
  record.begin();
  const std::vector<std::string> words{"gcc", "-o", "a\"b"};
  record.list("args", words).boolean("b", true).boolean("c", false).list("d", {}).raw("e", R"({"x":[1]})");
  CHECK(record.line() == R"({"args":["gcc","-o","a\"b"],"b":true,"c":false,"d":[],"e":{"x":[1]}})"
                         "\n");
  CHECK(record.line() == record.line());
  record.begin();
  CHECK(record.text("k", "v").line() == "{\"k\":\"v\"}\n");
}

TEST_CASE("keys that are out of order, repeated, empty or not plain are programming errors") {
  Record record;
  record.begin();
  record.number("b", 1);
  CHECK_THROWS_AS(record.number("a", 1), std::logic_error);
  CHECK_THROWS_AS(record.text("b", "x"), std::logic_error);
  for (const char* key : {"", "q\"", "q\\", "q\n", "q\xc3\xa9"}) {
    record.begin();
    CHECK_THROWS_AS(record.number(key, 1), std::logic_error);
  }
  record.begin();
  (void)record.line();
  CHECK_THROWS_AS(record.number("z", 1), std::logic_error);
}

TEST_CASE("text that is not UTF-8 becomes base64, at its place in the order of keys") {
  Record record;
  record.begin();
  record.text("dst", "\xff\xfe").text("dst_addr", "x").text("path", "a\x80z").number("z", 1);
  CHECK(record.line() == R"({"dst_addr":"x","dst_b64":"//4=","path_b64":"YYB6","z":1})"
                         "\n");
}

TEST_CASE("long texts are cut between characters, with length and hash of the whole") {
  const std::string fits(4096, 'a');
  CHECK(one(fits) == "{\"k\":\"" + fits + "\"}\n");
  const std::string over = fits + "b";
  CHECK(one(over) == "{\"k\":\"" + fits + "\",\"k_len\":4097,\"k_sha256\":\"" + hex(sha256(over)) + "\"}\n");
  const std::string border = std::string(4095, 'a') + "\u20ac";
  CHECK(one(border) ==
        "{\"k\":\"" + std::string(4095, 'a') + "\",\"k_len\":4098,\"k_sha256\":\"" + hex(sha256(border)) + "\"}\n");
  const std::string wild(5000, '\xfe');
  CHECK(one(wild) == "{\"k_b64\":\"" + base64(as_bytes(std::string(4096, '\xfe'))) +
                         "\",\"k_len\":5000,\"k_sha256\":\"" + hex(sha256(wild)) + "\"}\n");
}

TEST_CASE("the members of a cut text do not break the order of what follows") {
  Record record;
  record.begin();
  const std::string over(5000, 'p');
  record.text("path", over).text("path_req", over).number("pid", 1).text("zz", over);
  const std::string line(record.line());
  check_canonical(line);
  const auto json = nlohmann::json::parse(line);
  for (const char* key :
       {"path", "path_len", "path_req", "path_req_len", "path_req_sha256", "path_sha256", "pid", "zz_len"}) {
    CHECK(json.contains(key));
  }
}

TEST_CASE("no path of the agent makes a decision too long or hides the decided path") {
  for (const char fill : {'a', '\x01', '"', '\xff'}) {
    CAPTURE(static_cast<int>(fill));
    const std::string longest(4095, fill);
    const std::vector<std::string> args(1000, longest);
    Record record;
    record.begin();
    record.text("act", "deny")
        .list("args", args)
        .text("by", "rule")
        .text("comm", longest.substr(0, 15))
        .text("cwd", longest);
    record.word("dev", UINT64_MAX)
        .number("errno", 13)
        .text("exe", longest)
        .word("ino", UINT64_MAX)
        .text("path", longest);
    record.text("path_req", longest)
        .number("pid", 4194304)
        .text("profile", "p")
        .text("rule", "r")
        .number("t", max_number);
    record.number("tb", max_number).number("tid", 4194304).text("type", "decision");
    const std::string line(record.line());
    CHECK(line.size() <= max_record);
    check_canonical(line);
    const auto json = nlohmann::json::parse(line);
    const auto shown = json.contains("path") ? json["path"] : json["path_b64"];
    CHECK(shown.get<std::string>().size() > 250);
    CHECK((json.contains("path_sha256") || shown == longest));
  }
}

TEST_CASE("lists: one element that is not UTF-8 turns all into base64; long lists are cut") {
  Record record;
  record.begin();
  const std::vector<std::string> wild{"a", "\xff"};
  record.list("args", wild);
  CHECK(record.line() == R"({"args_b64":["YQ==","/w=="]})"
                         "\n");
  const std::vector<std::string> many(1000, "0123456789");
  record.begin();
  record.list("args", many);
  const std::string line(record.line());
  check_canonical(line);
  const auto json = nlohmann::json::parse(line);
  std::string all;
  for (const std::string& word : many) all.append(word).push_back('\0');
  CHECK(json["args"].size() < 200);
  CHECK(json["args"].size() > 100);
  CHECK(json["args_len"] == all.size());
  CHECK(json["args_sha256"] == hex(sha256(all)));
  const std::vector<std::string> empties(100000);
  record.begin();
  CHECK(record.list("args", empties).line().size() < max_record);
}

TEST_CASE("a record over 16 KiB is refused, and the next one is complete") {
  Record record;
  record.begin();
  const std::string big(max_record - std::string_view("{\"k\":}\n").size(), '1');
  CHECK(record.raw("k", big).line().size() == max_record);
  record.begin();
  record.raw("k", big + "1");
  CHECK_THROWS_AS((void)record.line(), std::length_error);
  record.begin();
  CHECK(record.text("k", "v").line() == "{\"k\":\"v\"}\n");
}

TEST_CASE("members are read back from a line") {
  const std::string line =
      R"({"a":"x\n\u0001\"","b":-5,"c":{"a":"no","z":[1,"}"]},"d":"18446744073709551615","e":"77","f":true})";
  CHECK(text_field(line, "a") == "x\n\x01\"");
  CHECK(number_field(line, "b") == -5);
  CHECK_FALSE(text_field(line, "z").has_value());
  CHECK_FALSE(text_field(line, "b").has_value());
  CHECK_FALSE(number_field(line, "a").has_value());
  CHECK_FALSE(number_field(line, "d").has_value());
  CHECK(number_field(line, "e") == 77);
  CHECK_FALSE(number_field(line, "f").has_value());
  CHECK_FALSE(text_field(line, "none").has_value());
  for (const char* bad : {"", "{", "[]", "{\"a\"", "{\"a\":", "{\"a\":\"x", "{a:1}", "{\"b\":1 ,\"a\":2}",
                          R"({"a":"\x"})", R"({"a":"\u0041"})", R"({"a":"\u00)"}) {
    CAPTURE(bad);
    CHECK_FALSE(text_field(bad, "a").has_value());
    CHECK_FALSE(number_field(bad, "a").has_value());
  }
}

TEST_CASE("a list is read element by element, and only when it is one") {
  using List = std::vector<std::string>;
  Record record;
  record.begin();
  const List values{"a", "b,\"]", "\n", ""};
  record.list("names", values).list("none", {});
  const std::string line(record.line().substr(0, record.line().size() - 1));
  CHECK(list_field(line, "names") == values);
  CHECK(list_field(line, "none") == List{});
  CHECK_FALSE(list_field(line, "other").has_value());
  for (const char* bad : {R"({"names":"a"})", R"({"names":["a",]})", R"({"names":[,"a"]})", R"({"names":["a""b"]})",
                          R"({"names":[1]})", R"({"names":["a"})", R"({"names":{"a":"b"}})"}) {
    CAPTURE(bad);
    CHECK_FALSE(list_field(bad, "names").has_value());
  }
}
