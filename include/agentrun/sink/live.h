// The process of a sink: it reads the records of a run that is going on, or is over, and sends them to one receiver.
//
// It is a program of its own, agent-run-sink, since it links what speaks TLS and HTTP; it has no key of the journal, no
// capability, a read-only descriptor of the run's folder, and one of the file that it keeps its cursor in. It dies with
// the process that started it. Nothing of a run waits for it but the end, for a bounded time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sink/target.h>
#include <agentrun/sys/fd.h>

namespace agentrun::sink {

/// Two files of a run's folder: the URLs of its sinks, one a line, which only the supervisor writes; and for each of
/// them "sink.N", the number of the first record that the receiver is not known to have, which only that sink's process
/// writes.
void write_urls(const std::filesystem::path& run_directory, const std::vector<std::string>& urls);
/// None when the file is absent. Throws SysError.
std::vector<std::string> read_urls(const std::filesystem::path& run_directory);
/// What the cursor's file says; 0 when it is absent or says nothing.
std::uint64_t read_cursor(const std::filesystem::path& run_directory, std::size_t number);

/// What the files hold that a URL names: certificates and a key as PEM, lines of headers.
struct Contents {
  std::string ca, cert, key, headers;
};

/// What a sink's process says.
struct Event {
  enum class Kind : std::uint8_t {
    at,      // it has arrived there, as it was told to: `record`
    down,    // the receiver was reached before, or never, and cannot be now: `text`. Said once an outage
    failed,  // as it was told to arrive somewhere, an attempt to reach the receiver failed: `text`. It tries again
    lost,    // the receiver will never have `count` of the records from `record` to `last`: `text`
  };
  Kind kind{};
  std::uint64_t record = 0, last = 0, count = 0;
  std::string text;  // printable ASCII, at most 200 bytes
};
std::string encode(const Event& event);
/// nullopt: not one.
std::optional<Event> decode(std::string_view message);

/// Until the records before `records` have arrived (`end`), or that and then no longer (`close`).
enum class Word : std::uint8_t { end, close };
std::string encode(Word word, std::uint64_t records);

/// The descriptors that the program finds; what it is to do is on its standard input, as JSON.
inline constexpr int control_fd = 3, directory_fd = 4, cursor_fd = 5, output_fd = 6;

class Live {
 public:
  struct Setup {
    Target target;
    std::string program;  // agent-run-sink
    std::filesystem::path run_directory;
    std::size_t number = 0;  // among the run's sinks
    Contents contents;
    std::string key_name, key_seed, certificate;  // for CloudEvents: of a key that is this sink's own
    Fd output;                                    // of a file
    std::vector<std::string> environment;         // "https_proxy=…"
    bool over = false;                            // nobody writes the journal any more
  };
  /// Starts the process. Throws SysError.
  static Live start(Setup setup);
  Live(Live&&) noexcept = default;
  Live& operator=(Live&& other) noexcept;
  ~Live();  // kills it

  /// Readable when next_event() has something to say.
  [[nodiscard]] const Fd& events() const noexcept { return control_; }
  /// nullopt: it has died, or said what cannot be understood and was killed.
  std::optional<Event> next_event();
  void tell(Word word, std::uint64_t records) noexcept;
  void kill() noexcept;

 private:
  Live() = default;
  Fd pidfd_, control_;
};

}  // namespace agentrun::sink
