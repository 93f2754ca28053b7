// ArcSight Common Event Format, version 0: "CEF:0|vendor|product|version|class|name|severity|extension".
#include <cstdio>

#include "sink/formats/facts.h"

namespace agentrun::sink {

namespace {

std::string replaced(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r') {
      out += c == '\n' ? "\\n" : "\\r";
      continue;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {  // CEF has no escapes for these: written as text
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\\\x%02x", static_cast<unsigned>(c));
      out += hex;
      continue;
    }
    if (special.find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}
// CEF has no escape for the end of a line in a header.
std::string header(std::string text) {
  for (char& c : text) c = c == '\n' || c == '\r' ? ' ' : c;
  return replaced(text, "\\|");
}

}  // namespace

std::string to_cef(const Facts& f, const RunFacts& run) {
  const bool decision = f.is("decision");
  const std::string cls = decision ? f.text("class") + ":" + f.text("sys") : f.type();
  const int severity = f.is("exec.verified") && f.refused() ? 10 : f.refused() ? 6 : 1;
  std::string out = "CEF:0|agent-run|agent-run|" + header(run.version) + "|" + header(cls) + "|" +
                    header(f.type() + (f.refused() ? " refused" : "")) + "|" + std::to_string(severity) + "|";
  const auto add = [&](const std::string& key, const std::string& value) {
    if (value.empty()) return;
    if (out.back() != '|') out += ' ';
    out += key + "=" + replaced(value, "\\=");
  };
  const auto add_number = [&](const std::string& key, std::optional<std::int64_t> value) {
    if (value) add(key, std::to_string(*value));
  };
  add("rt", std::to_string(f.time_ns() / 1'000'000));
  add("externalId", f.id(run));
  add("act", f.text("act"));
  add("outcome", f.failed() ? "failure" : "success");
  add("reason", f.text("errno").empty() ? f.text("reason") : f.text("errno"));
  add_number("spid", f.number("pid"));
  add("sproc", f.text("exe").empty() ? f.text("comm") : f.text("exe"));
  add("filePath", f.text("path"));
  add("dst", f.text("peer").empty() ? f.text("dst") : f.text("peer"));
  add_number("dpt", f.number("dport"));
  add("dhost", f.text("host"));
  add("proto", f.text("proto"));
  add_number("in", f.number("bytes_in"));
  add_number("out", f.number("bytes_out"));
  if (const std::string rule = f.text("rule"); !rule.empty()) {
    add("cs1Label", "rule");
    add("cs1", rule);
  }
  add("cs2Label", "run");
  add("cs2", run.run);
  if (f.has("to")) {
    add("cs3Label", "to");
    add("cs3", f.text("to"));
  }
  add("cn1Label", "index");
  add("cn1", std::to_string(f.index()));
  add("msg", f.text("remedy").empty() ? f.sentence() : f.text("remedy"));
  return out;
}

}  // namespace agentrun::sink
