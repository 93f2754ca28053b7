// The process of a sink: it reads the records of a run, during the run or after it, and sends them to one receiver.
//
// It is a separate program, agent-run-sink, because it links libraries for TLS and HTTP. It has no key of the journal
// and no capability. It has a read-only descriptor of the run's directory and one of the file with its cursor. It dies
// with the process that started it. Only the end of a run waits for it, for a bounded time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <agentrun/sink/target.h>
#include <agentrun/sys/fd.h>

namespace agentrun::sink {

/// A run's directory holds the URLs of its sinks, one a line, in a file that only the supervisor writes; and for each
/// sink the file "sink.N", which only its process writes: the number of the first record that the receiver is not known
/// to have. These functions throw SysError.
void write_urls(const std::filesystem::path& run_directory, const std::vector<std::string>& urls);
/// Empty when the file is absent.
std::vector<std::string> read_urls(const std::filesystem::path& run_directory);
/// 0 when the cursor's file is absent or malformed.
std::uint64_t read_cursor(const std::filesystem::path& run_directory, std::size_t number);

/// The content of the files that a URL names: certificates and a key as PEM, lines of HTTP headers.
struct Contents {
  std::string ca, cert, key, headers;
};

/// What a sink's process reports. It travels as a ServiceEvent.
struct Event {
  enum class Kind : std::uint8_t {
    arrived,         // the records before `record`, which an Order named, have arrived
    unreachable,     // the receiver cannot be reached: `text`. Once an outage
    attempt_failed,  // after an Order, an attempt to reach the receiver failed: `text`. The process tries again
    lost,            // the receiver will never have `count` of the records from `record` to `last`: `text`
  };
  Kind kind{};
  std::uint64_t record = 0, last = 0, count = 0;
  std::string text;  // printable ASCII, at most 200 bytes
};
std::string encode(const Event& event);
/// nullopt for anything that encode() does not make.
std::optional<Event> decode(std::string_view message);

/// What the supervisor orders. `deliver`: report when the records before `records` have arrived. `close`: the same,
/// then exit.
enum class Order : std::uint8_t { deliver, close };
std::string encode(Order order, std::uint64_t records);
std::optional<std::pair<Order, std::uint64_t>> decode_order(std::string_view message);

/// The descriptors that the program inherits. Its configuration, in CBOR, is on standard input.
inline constexpr int control_fd = 3, directory_fd = 4, cursor_fd = 5, output_fd = 6;

class Live {
 public:
  struct Setup {
    Target target;
    std::string program;  // path of agent-run-sink
    std::filesystem::path run_directory;
    std::size_t number = 0;  // among the run's sinks
    Contents contents;
    std::string key_name, key_seed, certificate;  // for CloudEvents: the sink's own key
    Fd output;                                    // for file:
    std::vector<std::string> environment;         // "https_proxy=…"
    bool over = false;                            // the run has ended
  };
  /// Starts the process. Throws SysError.
  static Live start(Setup setup);
  Live(Live&&) noexcept = default;
  Live& operator=(Live&& other) noexcept;
  ~Live();  // kills the process

  /// Readable when next_event() has something to return.
  [[nodiscard]] const Fd& events() const noexcept { return control_; }
  /// nullopt: the process has died, or sent what is not an event and was killed.
  std::optional<Event> next_event();
  void send(Order order, std::uint64_t records) noexcept;
  void kill() noexcept;

 private:
  Live() = default;
  Fd pidfd_, control_;
};

}  // namespace agentrun::sink
