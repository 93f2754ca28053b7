// Where records go while a run is going on: URL → value. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <agentrun/sink.h>

namespace agentrun::sink {

/// What a sink's URL says: agent-run-profile(5), journal.sinks. URLs hold no secrets: those are in the files that they
/// name.
struct Target {
  enum class Kind : std::uint8_t { file, syslog_unix, syslog_tcp, syslog_tls, journald, otlp_http, otlp_https };
  Kind kind = Kind::file;
  std::string url;   // as written
  std::string name;  // for people and records: scheme and host, or path; neither the path of HTTP nor parameters
  std::string path;  // of a file (may begin with "~/"), of a socket, of HTTP
  std::string host;  // lower case; an address of IPv6 without brackets
  std::uint16_t port = 0;
  Format format = Format::jsonl;
  std::string ca, cert, key, headers;  // files that the supervisor reads
  std::string server_name;             // that the certificate must bear; else `host`
  std::uint32_t drain_ms = 2000;       // how long the end of a run may wait for this sink
  [[nodiscard]] bool tls() const noexcept { return kind == Kind::syslog_tls || kind == Kind::otlp_https; }
  [[nodiscard]] bool otlp() const noexcept { return kind == Kind::otlp_http || kind == Kind::otlp_https; }
};

inline constexpr std::size_t max_url = 1024;
inline constexpr std::size_t max_sinks = 8;

/// Strict: throws Refusal, one line and a remedy, for what is not understood whole.
Target parse_target(std::string_view url);

}  // namespace agentrun::sink
