// What leaves the journal for others: a page to look at, and records in the formats that collectors of events take.
// Reads journals; writes, signs and verifies none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/journal.h>

namespace agentrun::sink {

/// One self-contained page: decisions over time, processes, files, destinations, denials with their remedies, what
/// verification said. Nothing that the agent named is parsed as HTML or script: it is data, and shown as text; the page
/// allows no script but its own (Content-Security-Policy) and loads nothing. Of the allowed decisions at most 100,000
/// are in it, of the denied ones too; it says what it leaves out. Throws SysError when the journal cannot be read; what
/// the stream says is the caller's to look at.
void write_report(std::ostream& out, const std::filesystem::path& run_directory, const journal::Report& verified);

// ---- records for collectors of events
// ----------------------------------------------------------------------------------

/// jsonl: the records, with `i`, their number. ocsf: OCSF 1.3.0, an event a line. ecs: Elastic Common Schema 8.11. cef:
/// ArcSight CEF 0. otlp: OpenTelemetry logs as JSON, a request of up to 256 records a line. cloudevents:
/// CloudEvents 1.0, signed.
enum class Format : std::uint8_t { jsonl, ocsf, ecs, cef, otlp, cloudevents };
std::string_view name(Format) noexcept;
std::optional<Format> format_named(std::string_view text) noexcept;

/// What CloudEvents are signed with. `certificate`: a signed note in which the identity vouches for the key (see
/// certify_sink_key()); empty when the key is the identity itself.
struct Signer {
  journal::Key key;
  std::string certificate;
};

/// "agent-run/sinkkey/v1", origin, vkey and time, signed by the identity under the name of the run (C2SP signed-note).
std::string certify_sink_key(const journal::Key& identity, const std::string& origin, const journal::Key& key);

/// From a run's records, in order from the first, to lines of a format. What the agent named can end no line and no
/// field. Every event bears "RUN/NUMBER", so that receivers can drop what comes twice.
class Exporter {
 public:
  using Emit = std::function<void(const std::string& line)>;  // without LF
  /// `signer`: for cloudevents, an Ed25519 signature over the event without the member `signature`, as RFC 8785 writes
  /// it.
  Exporter(Format format, std::optional<Signer> signer, Emit emit);
  ~Exporter();
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  /// False for a line that is no record: it is passed over.
  bool add(std::uint64_t index, std::string_view line);
  /// What journal.open says of all records, when those from it on are not added.
  void learn(std::string_view line);
  /// Emits what waits to be sent together.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrun::sink
