// Numbers, sizes and durations of profiles.
#include <doctest/doctest.h>

#include "profile/profile_reader.h"
#include "profile/scalar.h"
#include "profile/values.h"

using namespace agentrun::profile;

TEST_CASE("integers and decimals") {
  CHECK(to_integer("0") == 0U);
  CHECK(to_integer("18446744073709551615") == 18446744073709551615U);
  for (const char* text : {"", "00", "010", "+1", "-1", "1 ", " 1", "1_000", "0x1", "18446744073709551616", "1.0"})
    CHECK_FALSE(to_integer(text));
  CHECK(to_decimal("0.5") == 0.5);
  CHECK(to_decimal("2") == 2.0);
  for (const char* text : {"", ".5", "1.", "01.5", "1.2345", "1e3", "-1", "nan", "inf"}) CHECK_FALSE(to_decimal(text));
}

TEST_CASE("sizes and durations") {
  CHECK(to_bytes("4GiB") == 4ULL << 30U);
  CHECK(to_bytes("512MiB") == 512ULL << 20U);
  CHECK(to_bytes("1KiB") == 1024U);
  CHECK(to_bytes("1TiB") == 1ULL << 40U);
  CHECK(to_bytes("123") == 123U);
  for (const char* text : {"", "GiB", "1 GiB", "1gib", "1G", "1GB", "1.5GiB", "010KiB", "16777216TiB"})
    CHECK_FALSE(to_bytes(text));
  CHECK(to_milliseconds("50ms") == 50U);
  CHECK(to_milliseconds("60s") == 60'000U);
  CHECK(to_milliseconds("30m") == 1'800'000U);
  CHECK(to_milliseconds("2h") == 7'200'000U);
  for (const char* text : {"", "s", "60", "1d", "1.5h", "1h30m", "-1s", "01s"}) CHECK_FALSE(to_milliseconds(text));
}

TEST_CASE("values that some YAML reader takes for another type") {
  for (const char* text : {"~", "null", "True", "NO", "off", "y", "1", "010", "0x1f", "1_000", "-1", "+.5", ".inf",
                           "-.Inf", ".nan", "1e3", "12:30:00", "2001-01-01"})
    CHECK_MESSAGE(is_typed(text), text);
  for (const char* text : {"a", "~/x", "/usr", ".", "./x", "not", "LC_*", "10.0.0.0/8:1", "x1", ".envrc", "-", "--"})
    CHECK_MESSAGE(!is_typed(text), text);
}

TEST_CASE("the nearest key") {
  CHECK(nearest("raed", {"read", "write"}) == "read");
  CHECK(nearest("xyzzy", {"read", "write"}).empty());
  CHECK(nearest(std::string(100, 'a'), {"read"}).empty());
}
