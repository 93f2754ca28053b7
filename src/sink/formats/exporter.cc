// Converts the records of a run to lines of a format.
#include <algorithm>
#include <array>

#include <agentrun/sink.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include "sink/formats/facts.h"

namespace agentrun::sink {

namespace {

constexpr std::array<std::string_view, 6> names = {"jsonl", "ocsf", "ecs", "cef", "otlp", "cloudevents"};
constexpr std::size_t batch = 256;  // records of one OTLP request

}  // namespace

std::string certify_sink_key(const journal::Key& identity, const std::string& origin, const journal::Key& key) {
  const journal::Key signer = identity.renamed(origin);
  const std::string text =
      "agent-run/sinkkey/v1\n" + origin + "\n" + key.vkey() + "\n" + rfc3339(wall_clock_ns()).substr(0, 19) + "Z\n";
  const std::array<const journal::Key*, 1> keys{&signer};
  return journal::sign_note(text, keys);
}

std::string_view name(Format format) noexcept {
  return names[static_cast<std::size_t>(format)];
}

std::optional<Format> format_named(std::string_view text) noexcept {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Format>(found - names.begin());
}

struct Exporter::State {
  Format format;
  std::optional<Signer> signer;
  Emit emit;
  RunFacts run;
  Json batch = Json::array();

  void sign(Json& event) const {
    if (!signer) return;
    event["signingkey"] = signer->key.name() + "+" + journal::hex(signer->key.id());
    if (!signer->certificate.empty()) event["signingcert"] = signer->certificate;
    event["signature"] = journal::base64(signer->key.sign(one_line(event)));
  }

  void flush() {
    if (batch.empty()) return;
    emit(one_line(to_otlp(run, std::move(batch))));
    batch = Json::array();
  }

  void learn(const Facts& f) {
    if (!f.is("journal.open")) return;
    run = {.run = f.text("run"),
           .origin = f.text("origin"),
           .version = f.text("version"),
           .boot_id = f.text("boot_id"),
           .kernel = f.text("kernel"),
           .command = {}};
  }

  void add(const Facts& f) {
    switch (format) {
      case Format::jsonl: {
        Json numbered = f.record();
        numbered["i"] = f.index();
        return emit(one_line(numbered));
      }
      case Format::ocsf:
        return emit(one_line(to_ocsf(f, run)));
      case Format::ecs:
        return emit(one_line(to_ecs(f, run)));
      case Format::cef:
        return emit(to_cef(f, run));
      case Format::otlp:
        batch.push_back(to_otlp_record(f));
        if (batch.size() >= sink::batch) flush();
        return;
      case Format::cloudevents: {
        Json event = to_cloudevent(f, run);
        sign(event);
        return emit(one_line(event));
      }
    }
  }
};

Exporter::Exporter(Format format, std::optional<Signer> signer, Emit emit)
    : state_(std::make_unique<State>(
          State{.format = format, .signer = std::move(signer), .emit = std::move(emit), .run = {}})) {}
Exporter::~Exporter() = default;

bool Exporter::add(std::uint64_t index, std::string_view line) {
  const Json record = Json::parse(line, nullptr, false);
  if (!record.is_object()) return false;
  const Facts facts(record, index);
  state_->learn(facts);
  state_->add(facts);
  return true;
}

void Exporter::learn(std::string_view line) {
  const Json record = Json::parse(line, nullptr, false);
  if (record.is_object()) state_->learn(Facts(record, 0));
}

void Exporter::finish() {
  state_->flush();
}

}  // namespace agentrun::sink
