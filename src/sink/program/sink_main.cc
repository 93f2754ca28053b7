// The program agent-run-sink. agent-run starts it for one sink of one run (agentrun/sink/live.h).
#include <curl/curl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>

#include <nlohmann/json.hpp>

#include <agentrun/filter.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include <agentrun/sys/service.h>
#include <agentrun/sys/syscall_limits.h>
#include "sink/program/tail.h"

namespace agentrun::sink {

namespace {

constexpr std::size_t max_configuration = 8U << 20;

struct Configuration {
  Target target;
  Contents contents;
  std::optional<Signer> signer;
  bool over = false;
};

Configuration read_configuration() {
  const std::string text = read_file("/proc/self/fd/0", max_configuration);
  const auto json = nlohmann::json::from_cbor(text);
  Configuration configuration{
      .target = parse_target(json.at("url").get<std::string>()),
      .contents = {.ca = json.at("ca"), .cert = json.at("cert"), .key = json.at("key"), .headers = json.at("headers")},
      .signer = {},
      .over = json.at("over")};
  const auto& seed = json.at("key_seed").get_binary();
  if (std::array<std::uint8_t, 32> bytes{}; seed.size() == bytes.size()) {
    std::copy(seed.begin(), seed.end(), bytes.begin());
    configuration.signer =
        Signer{.key = journal::Key::from_seed(json.at("key_name"), bytes), .certificate = json.at("certificate")};
    ::explicit_bzero(bytes.data(), bytes.size());
  }
  return configuration;
}

std::unique_ptr<Sender> sender_of(const Configuration& configuration) {
  const Target& target = configuration.target;
  switch (target.kind) {
    case Target::Kind::file:
      return file_sender(Fd(output_fd));
    case Target::Kind::syslog_unix:
    case Target::Kind::journald:
      return unix_sender(target);
    case Target::Kind::syslog_tcp:
    case Target::Kind::syslog_tls:
      return stream_sender(target, configuration.contents);
    default:
      return http_sender(target, configuration.contents);
  }
}

// Before anything is read that others have written.
void confine() {
  check(::prctl(PR_SET_NAME, "agent-run-sink", 0, 0, 0), "prctl", "PR_SET_NAME");
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::signal(signal, SIG_IGN);
  set_service_limits();
  shed_capabilities();
  load_name_services();
  enter_landlock({directory_fd});
  load_filter_everywhere(filter::program(filter::Variant::sink), "sink filter");
}

void serve() {
  // Set PDEATHSIG before the check, so that either the signal or the check notices the parent's death.
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG");
  char byte = 0;
  if (::recv(control_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) return;
  const Configuration configuration = read_configuration();
  ::close(STDIN_FILENO);
  if (configuration.target.otlp() && ::curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
    throw Refusal("cannot initialize libcurl");
  confine();
  Tail(Fd(control_fd), Fd(directory_fd), Fd(cursor_fd), configuration.target, configuration.signer,
       sender_of(configuration), configuration.over)
      .run();
}

}  // namespace
}  // namespace agentrun::sink

int main() {
  namespace sink = agentrun::sink;
  try {
    sink::serve();
    return EXIT_SUCCESS;
  } catch (const std::exception& e) {
    const std::string message = encode(sink::Event{.kind = sink::Event::Kind::unreachable, .text = e.what()});
    (void)::send(sink::control_fd, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return EXIT_FAILURE;
  }
}
