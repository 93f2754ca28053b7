// Parses the URL of a sink, to which a run's records go while it runs. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <agentrun/sink.h>

namespace agentrun::sink {

/// The content of a sink's URL: agent-run-profile(5), journal.sinks. URLs contain no secrets; the files that they name
/// do.
struct Target {
  enum class Kind : std::uint8_t { file, syslog_unix, syslog_tcp, syslog_tls, journald, otlp_http, otlp_https };
  Kind kind = Kind::file;
  std::string url;   // as written
  std::string name;  // for display and records: scheme and host, or path; without parameters and the path of HTTP
  std::string path;  // of a file (may begin with "~/"), of a socket, or of HTTP
  std::string host;  // lower case; IPv6 addresses without brackets
  std::uint16_t port = 0;
  Format format = Format::jsonl;
  std::string ca, cert, key, headers;  // files that the supervisor reads
  std::string server_name;             // the name in the certificate; empty: `host`
  std::uint32_t drain_ms = 2000;       // how long the end of a run waits for this sink
  [[nodiscard]] bool tls() const noexcept { return kind == Kind::syslog_tls || kind == Kind::otlp_https; }
  [[nodiscard]] bool otlp() const noexcept { return kind == Kind::otlp_http || kind == Kind::otlp_https; }
};

inline constexpr std::size_t max_url = 1024;
inline constexpr std::size_t max_sinks = 8;

/// Strict: throws Refusal (one line and a remedy) for a URL that is not fully understood.
Target parse_target(std::string_view url);

}  // namespace agentrun::sink
