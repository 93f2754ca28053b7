// UTF-8: what is well-formed, and what is shown as it is.
#include <agentrun/sys/utf8.h>
#include <doctest/doctest.h>

using namespace agentrun;

TEST_CASE("characters") {
  CHECK(first_character("a").bytes == 1);
  CHECK(first_character("\xc3\xa9").code == 0xe9);
  CHECK(first_character("\xf4\x8f\xbf\xbf").code == 0x10ffff);
  for (const char* text :
       {"", "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xc3("})
    CHECK(first_character(text).bytes == 0);
  CHECK(printable("a\xc3\xa9\x1b\xff\n") == "a\xc3\xa9\\x1b\\xff\\x0a");
  CHECK(printable("\xe2\x80\xae"
                  "x") == "\\xe2\\x80\\xaex");
}

TEST_CASE("invisible characters are escaped") {
  for (const std::uint32_t code : {0x7fU, 0x85U, 0xadU, 0x61cU, 0x200bU, 0x200dU, 0x202eU, 0x2060U, 0x2069U, 0x3164U,
                                   0xfe00U, 0xfeffU, 0xfff9U, 0x1d173U, 0xe0041U})
    CHECK_FALSE_MESSAGE(is_shown(code), code);
  for (const std::uint32_t code : {0x20U, 0xe9U, 0x4e2dU, 0xfe0fU, 0xfffdU, 0x1f600U})
    CHECK_MESSAGE(is_shown(code), code);
  CHECK(printable("a\xe2\x80\x8d") == "a\\xe2\\x80\\x8d");
}
