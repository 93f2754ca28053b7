#include "journal/format/encode.h"

#include <agentrun/journal.h>
#include <doctest/doctest.h>

#include <array>

using namespace agentrun::journal;

TEST_CASE("base64 round trips (RFC 4648 §10)") {
  const std::array<std::pair<const char*, const char*>, 7> table{{{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}}};
  for (const auto& [plain, encoded] : table) {
    CHECK(base64(as_bytes(plain)) == encoded);
    std::array<std::uint8_t, 8> out{};
    const auto size = decode_base64(encoded, out);
    REQUIRE(size.has_value());
    CHECK(std::string(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(*size)) == plain);
  }
}

TEST_CASE("base64 has one form only") {
  std::array<std::uint8_t, 8> out{};
  for (const char* text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm9-",
                           "====", "Z===", "=Zg=", "Zm9vYmFyZm9v"}) {
    CAPTURE(text);
    CHECK_FALSE(decode_base64(text, out).has_value());
  }
}

TEST_CASE("decimals have one form only") {
  CHECK(decode_decimal("0") == 0);
  CHECK(decode_decimal("9223372036854775807") == 9223372036854775807U);
  for (const char* text : {"", "00", "01", "+1", "-1", "-0", " 1", "1 ", "1\n", "9223372036854775808", "0x1", "1e3"}) {
    CAPTURE(text);
    CHECK_FALSE(decode_decimal(text).has_value());
  }
}

TEST_CASE("hex is lower case and must fill its target") {
  std::array<std::uint8_t, 2> out{};
  CHECK(decode_hex("00ff", out));
  CHECK(out[1] == 0xff);
  for (const char* text : {"", "00f", "00FF", "00ff0", "00fg", "0x00"}) CHECK_FALSE(decode_hex(text, out));
}

TEST_CASE("UTF-8 by RFC 3629") {
  for (const char* text : {"", "plain", "\u00e9", "\u20ac", "\U0001f600", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    CHECK(is_utf8(text));
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82"}) {
    CAPTURE(text);
    CHECK_FALSE(is_utf8(text));
  }
}

TEST_CASE("key names") {
  for (const char* name : {"a", "agent-run/0123/x", "PeterNeumann", "\u00e9"}) CHECK(is_key_name(name));
  for (const char* name : {"", "a b", "a+b", "a\nb", "a\tb", "a\x7f", "a\u00a0b", "a\u2003", "\xff", "a\u3000"}) {
    CAPTURE(name);
    CHECK_FALSE(is_key_name(name));
  }
}
