// Exports of a journal: a report page, and records in the formats of event collectors. This module reads journals; it
// does not write, sign or verify them.
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

/// Writes one self-contained page: decisions over time, processes, files, destinations, denials with their remedies,
/// the result of verification. What the agent named is data and shown as text, never parsed as HTML or script. The page
/// allows no script but its own (Content-Security-Policy) and loads nothing. It has at most 100,000 allowed and 100,000
/// refused decisions, and says how many it omits. Throws SysError when the journal cannot be read. The caller checks
/// the state of the stream.
void write_report(std::ostream& out, const std::filesystem::path& run_directory, const journal::Report& verified);

// ---- records for collectors of events
// ----------------------------------------------------------------------------------

/// jsonl: the records, with their number as `i`. ocsf: OCSF 1.3.0, one event a line. ecs: Elastic Common Schema 8.11.
/// cef: ArcSight CEF 0. otlp: OpenTelemetry logs as JSON, one request of up to 256 records a line. cloudevents:
/// CloudEvents 1.0, signed.
enum class Format : std::uint8_t { jsonl, ocsf, ecs, cef, otlp, cloudevents };
std::string_view name(Format) noexcept;
std::optional<Format> format_named(std::string_view text) noexcept;

/// Signs CloudEvents. `certificate`: a signed note by which the identity certifies the key (see certify_sink_key());
/// empty when the key is the identity itself.
struct Signer {
  journal::Key key;
  std::string certificate;
};

/// Makes a certificate: "agent-run/sinkkey/v1", origin, vkey and time, signed by the identity under the name of the run
/// (C2SP signed-note).
std::string certify_sink_key(const journal::Key& identity, const std::string& origin, const journal::Key& key);

/// Converts a run's records, in order from the first, to lines of a format. What the agent named cannot end a line or a
/// field. Every event carries "RUN/NUMBER", so that receivers can drop duplicates.
class Exporter {
 public:
  using Emit = std::function<void(const std::string& line)>;  // without LF
  /// `signer`: for cloudevents; an Ed25519 signature over the event in the form of RFC 8785, without the member
  /// `signature`.
  Exporter(Format format, std::optional<Signer> signer, Emit emit);
  ~Exporter();
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  /// False for a line that is not a record; it is skipped.
  bool add(std::uint64_t index, std::string_view line);
  /// Reads journal.open, when the first records are not added.
  void learn(std::string_view line);
  /// Emits the records that wait to be sent together.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrun::sink
