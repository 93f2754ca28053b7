#include <agentrun/sink/target.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <agentrun/sys/error.h>

namespace agentrun::sink {

namespace {

using Kind = Target::Kind;

constexpr const char* shapes =
    "write file:/PATH, syslog:///dev/log, syslog+tcp://HOST:PORT, syslog+tls://HOST:PORT, journald:, "
    "otlp+http://HOST:PORT or otlp+https://HOST:PORT";

enum class Place : std::uint8_t { path, host, host_and_path };
struct Scheme {
  std::string_view name;
  Kind kind;
  Place place;
  std::uint16_t port;           // when none is written; 0: one must be
  std::string_view path;        // when none is written
  std::string_view parameters;  // that it knows, beside format and drain
};
constexpr std::array schemes = {
    Scheme{"file", Kind::file, Place::path, 0, "", ""},
    Scheme{"syslog", Kind::syslog_unix, Place::path, 0, "/dev/log", ""},
    Scheme{"syslog+tcp", Kind::syslog_tcp, Place::host, 0, "", ""},
    Scheme{"syslog+tls", Kind::syslog_tls, Place::host, 6514, "", " ca cert key name "},  // RFC 5425 §4.1
    Scheme{"journald", Kind::journald, Place::path, 0, "/run/systemd/journal/socket", ""},
    Scheme{"otlp+http", Kind::otlp_http, Place::host_and_path, 4318, "/v1/logs", " headers "},
    Scheme{"otlp+https", Kind::otlp_https, Place::host_and_path, 4318, "/v1/logs", " headers ca cert key "},
};

// What was given is shown, but not what may be a secret that somebody put there.
std::string shown(std::string_view url) {
  const std::size_t end = url.find('@') == std::string_view::npos ? url.find_first_of("?#") : url.find("//");
  const std::string_view head = url.substr(0, std::min(end, std::size_t{100}));
  return "\"" + std::string(head) + (head.size() < url.size() ? "…" : "") + "\"";
}

[[noreturn]] void refuse(std::string_view url, const std::string& why, const std::string& remedy = shapes) {
  throw Refusal("sink " + shown(url) + ": " + why, remedy);
}

// RFC 3986 §2.1
std::string decoded(std::string_view url, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned byte = 0;
    const char* const digits = text.data() + i + 1;
    const bool two = text.size() - i >= 3;
    if (!two || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2 || byte == 0)
      refuse(url, "a '%' that is not followed by two digits of a byte", "write a percent sign as %25");
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

bool is_host(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= 253 && text.front() != '-' && text.front() != '.' &&
         std::ranges::all_of(text, fits);
}

bool is_address6(std::string_view text) {
  return text.find(':') != std::string_view::npos && text.size() <= 45 &&
         text.find_first_not_of("0123456789abcdef:.") == std::string_view::npos;
}

void read_authority(std::string_view authority, const Scheme& scheme, Target& target) {
  const std::string_view url = target.url;
  if (authority.find('@') != std::string_view::npos)
    refuse(url, "a user or password", "URLs are seen by others: put what is secret into a file, headers=FILE");
  std::string_view port;
  std::string host;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) refuse(url, "a '[' without ']'");
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  std::ranges::transform(host, host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (!(authority.starts_with('[') ? is_address6(host) : is_host(host))) refuse(url, "no host");
  target.host = host;
  target.port = scheme.port;
  if (port.empty() && scheme.port == 0)
    refuse(url, "no port", "write " + std::string(scheme.name) + "://" + host + ":514");
  if (port.empty()) return;
  const char* const end = port.data() + port.size();
  const auto [stop, error] = std::from_chars(port.data() + 1, end, target.port);
  if (port.front() != ':' || error != std::errc{} || stop != end || target.port == 0)
    refuse(url, "not a port: \"" + std::string(port.substr(1, 20)) + "\"", "write a number from 1 to 65535");
}

void read_path(std::string_view path, const Scheme& scheme, Target& target) {
  const std::string_view url = target.url;
  if (scheme.place == Place::host) {
    if (!path.empty() && path != "/") refuse(url, "a path");
    return;
  }
  // In HTTP the encoded form is what is sent.
  target.path = scheme.place == Place::host_and_path ? std::string(path) : decoded(url, path);
  if (target.path.empty() || (target.path == "/" && scheme.place == Place::host_and_path)) target.path = scheme.path;
  const bool home = target.kind == Kind::file && target.path.starts_with("~/");
  if (target.path.empty() || (target.path.front() != '/' && !home))
    refuse(url, "not an absolute path", "write " + std::string(scheme.name) + ":/PATH");
  if (target.path.ends_with('/') && scheme.place == Place::path) refuse(url, "a folder", "name a file in it");
  const bool plain = std::ranges::all_of(target.path, [](char c) { return c > ' ' && c < 0x7f; });
  if (scheme.place == Place::host_and_path && !plain) refuse(url, "a character that no URL has", "write it as %XX");
  constexpr std::size_t longest_socket = 107;  // unix(7)
  if ((target.kind == Kind::syslog_unix || target.kind == Kind::journald) && target.path.size() > longest_socket)
    refuse(url, "a path that is too long for a socket", "at most 107 bytes");
}

std::uint32_t read_drain(std::string_view url, std::string_view text) {
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
  const std::uint32_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : 0;
  constexpr std::uint32_t longest_ms = 60'000;
  if (error != std::errc{} || factor == 0 || value > longest_ms / factor)
    refuse(url, "drain=" + std::string(text.substr(0, 20)) + " is no time that can be waited",
           "write 0s to 60s, or 500ms");
  return value * factor;
}

bool takes(Kind kind, Format format) {
  switch (kind) {
    case Kind::file:
      return true;
    case Kind::otlp_http:
    case Kind::otlp_https:
      return format == Format::otlp;
    case Kind::journald:
      return false;  // it has fields of its own
    default:
      return format != Format::otlp;  // a request is no message
  }
}

constexpr std::pair<std::string_view, std::string Target::*> file_parameters[] = {
    {"ca", &Target::ca}, {"cert", &Target::cert}, {"key", &Target::key}, {"headers", &Target::headers}};

void read_parameter(std::string_view word, const Scheme& scheme, Target& target) {
  const std::string_view url = target.url;
  const std::size_t equals = std::min(word.find('='), word.size());
  const std::string key(word.substr(0, equals));
  const std::string value = equals == word.size() ? "" : decoded(url, word.substr(equals + 1));
  const bool special = !key.empty() && scheme.parameters.find(" " + key + " ") != std::string_view::npos;
  if (!special && key != "format" && key != "drain") {
    std::string known = "format drain " + std::string(scheme.parameters);
    refuse(url, "it has no parameter \"" + key.substr(0, 20) + "\"",
           "of this sink there are: " + known.substr(0, known.find_last_not_of(' ') + 1));
  }
  if (value.empty()) refuse(url, "an empty " + key, "write " + key + "=VALUE");
  if (key == "drain") target.drain_ms = read_drain(url, value);
  if (key == "format") {
    const auto format = format_named(value);
    if (!format || !takes(target.kind, *format))
      refuse(url, "no format \"" + value.substr(0, 20) + "\" here",
             "leave format= out, or see journal.sinks in agent-run-profile(5)");
    target.format = *format;
  }
  for (const auto& [name, member] : file_parameters) {
    if (key != name) continue;
    if (!value.starts_with('/') && !value.starts_with("~/"))
      refuse(url, key + " is not an absolute path", "write " + key + "=/PATH");
    target.*member = value;
  }
  if (key == "name") {
    if (!is_host(value))
      refuse(url, "name is not the name of a host", "write it in lower case, as the certificate has it");
    target.server_name = value;
  }
}

void read_parameters(std::string_view query, const Scheme& scheme, Target& target) {
  std::string seen = " ";
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view word = query.substr(0, end);
    const std::string key = std::string(word.substr(0, word.find('='))) + " ";
    if (seen.find(" " + key) != std::string::npos)
      refuse(target.url, "a parameter that is given twice", "give it once");
    seen += key;
    read_parameter(word, scheme, target);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

std::string name_of(const Scheme& scheme, const Target& target) {
  if (scheme.place == Place::path) return std::string(scheme.name) + ":" + target.path;
  const std::string host = target.host.find(':') == std::string::npos ? target.host : "[" + target.host + "]";
  return std::string(scheme.name) + "://" + host + ":" + std::to_string(target.port);
}

}  // namespace

Target parse_target(std::string_view url) {
  if (url.size() > max_url) refuse(url, "longer than 1024 bytes");
  if (std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    refuse("", "a control character");
  const std::size_t colon = std::min(url.find(':'), url.size());
  const auto scheme = std::ranges::find(schemes, url.substr(0, colon), &Scheme::name);
  if (scheme == schemes.end() || colon == url.size()) refuse(url, "not a kind of sink that there is");
  Target target{.kind = scheme->kind,
                .url = std::string(url),
                .name = {},
                .path = {},
                .host = {},
                .ca = {},
                .cert = {},
                .key = {},
                .headers = {},
                .server_name = {}};
  if (target.otlp()) target.format = Format::otlp;
  std::string_view rest = url.substr(colon + 1);
  if (rest.find('#') != std::string_view::npos) refuse(url, "a '#'", "write it as %23");
  const std::size_t question = std::min(rest.find('?'), rest.size());
  const std::string_view query = rest.substr(std::min(question + 1, rest.size()));
  rest = rest.substr(0, question);
  const bool slashes = rest.starts_with("//");
  if (slashes) rest.remove_prefix(2);
  if (scheme->place == Place::path) {
    if (slashes && !rest.empty() && rest.front() != '/')
      refuse(url, "a host", "write " + std::string(scheme->name) + ":/PATH");
    read_path(rest, *scheme, target);
  } else {
    if (!slashes) refuse(url, "no host");
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    read_authority(rest.substr(0, slash), *scheme, target);
    read_path(rest.substr(slash), *scheme, target);
  }
  read_parameters(query, *scheme, target);
  if (target.cert.empty() != target.key.empty())
    refuse(url, "cert and key belong together", "write cert=/PATH&key=/PATH");
  target.name = name_of(*scheme, target);
  return target;
}

}  // namespace agentrun::sink
