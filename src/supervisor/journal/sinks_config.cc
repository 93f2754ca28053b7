// Reads the files that sinks name (certificates, keys, headers) and checks their form.
#include "supervisor/journal/sinks_config.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include "supervisor/prepare/inputs.h"

namespace agentrun::supervisor {

namespace {

constexpr std::size_t max_file = 4U << 20;

std::string read_named(const sink::Target& target, const std::string& path, const char* parameter,
                       const Places& places) {
  if (path.empty()) return {};
  try {
    return read_file(path.starts_with("~/") ? places.home + path.substr(1) : path, max_file);
  } catch (const SysError& e) {
    throw Refusal("sink " + target.name + ": " + parameter + "=" + path + ": " + std::string(errno_name(e.error())),
                  "name a file that you can read");
  }
}

/// What a PEM file must contain (RFC 7468): the end of its label, and its name in errors.
struct PemContent {
  std::string_view label_end, name;
};
constexpr PemContent certificate{.label_end = "CERTIFICATE-----", .name = "certificate"};
constexpr PemContent private_key{.label_end = "PRIVATE KEY-----", .name = "private key"};

void check_pem(const sink::Target& target, std::string_view parameter, const std::string& path,
               const std::string& content, const PemContent& expected) {
  if (path.empty() || content.find(expected.label_end) != std::string::npos) return;
  throw Refusal(
      "sink " + target.name + ": " + std::string(parameter) + "=" + path + " contains no " + std::string(expected.name),
      "name a file in PEM format");
}

// RFC 9110 §5: a name of token characters and a value without control characters.
void check_headers(const sink::Target& target, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    const bool name =
        colon != std::string_view::npos && colon > 0 &&
        line.substr(0, colon).find_first_not_of(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!#$%&'*+^`|~") == std::string_view::npos;
    const bool plain =
        std::ranges::all_of(line, [](char c) { return static_cast<unsigned char>(c) >= 0x20 || c == '\t'; });
    if (!name || !plain)
      throw Refusal("sink " + target.name + ": headers=" + target.headers + " has a line that is not an HTTP header",
                    "write lines such as Authorization: Bearer …");
  }
}

}  // namespace

PreparedSink prepare_sink(const std::string& url, const Places& places) {
  PreparedSink sink{.target = sink::parse_target(url), .contents = {}};
  sink::Target& target = sink.target;
  if (target.path.starts_with("~/") && target.kind == sink::Target::Kind::file)
    target.path = places.home + target.path.substr(1);
  sink.contents = {.ca = read_named(target, target.ca, "ca", places),
                   .cert = read_named(target, target.cert, "cert", places),
                   .key = read_named(target, target.key, "key", places),
                   .headers = read_named(target, target.headers, "headers", places)};
  check_pem(target, "ca", target.ca, sink.contents.ca, certificate);
  check_pem(target, "cert", target.cert, sink.contents.cert, certificate);
  check_pem(target, "key", target.key, sink.contents.key, private_key);
  check_headers(target, sink.contents.headers);
  return sink;
}

std::vector<PreparedSink> sinks_of(const policy::Policy& policy, const UsersOwn& own, const Places& places) {
  std::vector<PreparedSink> sinks;
  for (const profile::Pattern& url : policy.journal().sinks) {
    try {
      sinks.push_back(prepare_sink(url.value, places));
      refuse_agents_sink(&policy, sinks.back().target, own, places);
    } catch (const Refusal& e) {
      throw Refusal(url.place.text() + ": " + e.what(), e.remedy());
    }
  }
  if (sinks.size() > sink::max_sinks)
    throw Refusal("more than 8 sinks", "send to one collector that forwards to the others");
  return sinks;
}

}  // namespace agentrun::supervisor
