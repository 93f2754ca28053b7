// A record as the exporting formats ask it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace agentrun::sink {

using Json = nlohmann::json;  // its objects are sorted by key, as RFC 8785 wants

/// One line of output: never more, whatever the texts hold. What is not UTF-8 becomes U+FFFD.
std::string one_line(const Json& value);

/// What is the same for all records of a run; from journal.open, which comes first.
struct RunFacts {
  std::string run, origin, version, boot_id, kernel, command;
};

/// Text, number and list members by name; absent and of another type are the same. Numbers that stand as decimal
/// strings count. A text that is not UTF-8 (KEY_b64) counts under its own name, with its odd bytes as \xNN.
class Facts {
 public:
  Facts(const Json& record, std::uint64_t index) : record_(record), index_(index) {}
  [[nodiscard]] const Json& record() const noexcept { return record_; }
  [[nodiscard]] std::uint64_t index() const noexcept { return index_; }
  [[nodiscard]] std::string text(const char* key) const;
  [[nodiscard]] std::optional<std::int64_t> number(const char* key) const;
  /// Elements that are no text are left out.
  [[nodiscard]] std::vector<std::string> list(const char* key) const;
  [[nodiscard]] bool has(const char* key) const;

  [[nodiscard]] std::string type() const { return text("type"); }
  [[nodiscard]] bool is(std::string_view type_name) const { return type() == type_name; }
  [[nodiscard]] std::int64_t time_ns() const { return number("t").value_or(0); }
  /// The policy did not let it happen.
  [[nodiscard]] bool refused() const;
  /// It did not happen, be it by the policy or by itself.
  [[nodiscard]] bool failed() const { return refused() || has("errno"); }
  /// "openat /etc/hostname: allowed by debian:files.read[7]"
  [[nodiscard]] std::string sentence() const;
  /// "run-id/17": the same record has it in every export, so that a receiver can drop what comes twice.
  [[nodiscard]] std::string id(const RunFacts& run) const { return run.run + "/" + std::to_string(index_); }

 private:
  const Json& record_;
  std::uint64_t index_;
};

/// Sets a member unless the value is empty or absent.
void put(Json& into, const char* key, const std::string& value);
void put(Json& into, const char* key, std::optional<std::int64_t> value);

Json to_ocsf(const Facts& facts, const RunFacts& run);
Json to_ecs(const Facts& facts, const RunFacts& run);
std::string to_cef(const Facts& facts, const RunFacts& run);
Json to_otlp_record(const Facts& facts);
Json to_otlp(const RunFacts& run, Json records);
Json to_cloudevent(const Facts& facts, const RunFacts& run);

/// "2026-11-22T10:30:00.123456789Z" (RFC 3339).
std::string rfc3339(std::int64_t nanoseconds);

}  // namespace agentrun::sink
