#include <agentrun/sink/target.h>

#include <doctest/doctest.h>

#include <random>
#include <string>

#include <agentrun/sys/error.h>

using namespace agentrun;
using namespace agentrun::sink;
using Kind = Target::Kind;

namespace {

std::string refusal(const std::string& url) {
  try {
    parse_target(url);
  } catch (const Refusal& e) {
    CHECK(!e.remedy().empty());
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("the URL determines the kind of a sink") {
  CHECK(parse_target("file:/var/log/a b").path == "/var/log/a b");
  CHECK(parse_target("file:///x%3fy%25").path == "/x?y%");
  CHECK(parse_target("file:~/log").path == "~/log");
  CHECK(parse_target("file:/x?format=otlp").format == Format::otlp);
  CHECK(parse_target("syslog:").path == "/dev/log");
  CHECK(parse_target("syslog:///run/log").kind == Kind::syslog_unix);
  CHECK(parse_target("journald:").path == "/run/systemd/journal/socket");
  const Target tcp = parse_target("syslog+tcp://Logs.Example:514?format=cef&drain=500ms");
  CHECK(tcp.host == "logs.example");
  CHECK(tcp.port == 514);
  CHECK(tcp.format == Format::cef);
  CHECK(tcp.drain_ms == 500);
  CHECK(tcp.name == "syslog+tcp://logs.example:514");
  CHECK_FALSE(tcp.tls());
  const Target tls = parse_target("syslog+tls://[2001:DB8::1]?ca=/ca.pem&name=logs.example");
  CHECK(tls.tls());
  CHECK(tls.host == "2001:db8::1");
  CHECK(tls.port == 6514);
  CHECK(tls.ca == "/ca.pem");
  CHECK(tls.server_name == "logs.example");
  CHECK(tls.name == "syslog+tls://[2001:db8::1]:6514");
  const Target otlp = parse_target("otlp+https://c.example/secret-path/v1/logs?headers=~/token");
  CHECK(otlp.path == "/secret-path/v1/logs");
  CHECK(otlp.port == 4318);
  CHECK(otlp.format == Format::otlp);
  CHECK(otlp.headers == "~/token");
  CHECK(otlp.name == "otlp+https://c.example:4318");  // what stands in records
  CHECK(parse_target("otlp+http://c.example:80/").path == "/v1/logs");
}

TEST_CASE("a refusal names the sink, but nothing that may be secret") {
  for (const char* url : {"", "file", "smtp://x", "FILE:/x", "file:x", "file:/x/", "file:/x?", "syslog+tcp://h",
                          "syslog+tcp://h:x", "syslog+tcp://h:514x", "syslog+tcp://h:65536", "syslog+tcp://-h:1",
                          "syslog+tcp://[1.2.3.4]:1", "syslog+tcp://[::1:1", "otlp+http:/h", "otlp+http://h/a b",
                          "journald:?format=cef", "file:/x?format", "file:/x?=y"}) {
    CAPTURE(url);
    if (std::string(url) == "file:/x?")
      CHECK(refusal(url).empty());  // no parameter is no parameter
    else
      CHECK(refusal(url).starts_with("sink \""));
  }
  for (const char* url : {"syslog+tcp://me:s3cret@h:1", "otlp+https://s3cret@h", "otlp+https://h?token=s3cret",
                          "otlp+https://h#s3cret", "http://me:s3cret@h"}) {
    CAPTURE(url);
    CHECK_FALSE(refusal(url).empty());
    CHECK(refusal(url).find("s3cret") == std::string::npos);
  }
  CHECK(refusal("file:/x\n").find('\n') == std::string::npos);
}

TEST_CASE("accepted input stays within its bounds, whatever the bytes") {
  std::mt19937 random(7);
  const std::string alphabet =
      "fileotpsyg+jurnad:/?&=%@[]#.~0159 \x01\xff"
      "AZ-_";
  const char* heads[] = {"file:", "syslog+tls://", "otlp+https://", "journald:", ""};
  std::size_t taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string url = heads[random() % 5];
    for (auto n = random() % 24; n > 0; --n) url.push_back(alphabet[random() % alphabet.size()]);
    try {
      const Target target = parse_target(url);
      ++taken;
      CHECK(target.url == url);
      CHECK_FALSE(target.name.empty());
      CHECK((target.path.empty() || target.path.starts_with('/') || target.path.starts_with("~/")));
      CHECK(target.path.find('\0') == std::string::npos);
      CHECK((target.host.empty() || target.port != 0));
    } catch (const Refusal&) {
    }
  }
  CHECK(taken > 100);
}
