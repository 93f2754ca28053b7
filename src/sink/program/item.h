// One message to a receiver, in its final bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include <agentrun/sink.h>
#include <agentrun/sink/target.h>

namespace agentrun::sink {

struct Item {
  std::uint64_t first = 0, last = 0;  // numbers of records
  std::string bytes;
};

/// Turns records into items, in order.
class Encoder {
 public:
  Encoder(const Target& target, std::optional<Signer> signer);
  /// Reads what every item needs from journal.open, when the first records are not encoded.
  void learn(std::string_view line) { exporter_.learn(line); }
  /// A line that is not a record makes no item.
  void add(std::uint64_t index, std::string_view line, std::deque<Item>& into);
  /// Emits the records that wait to be sent together.
  void flush(std::deque<Item>& into);

 private:
  void emit(const std::string& line);
  [[nodiscard]] std::string syslog(const std::string& message) const;

  const Target& target_;
  Exporter exporter_;
  std::string host_;
  std::deque<Item>* into_ = nullptr;
  std::string_view line_;  // the record being encoded
  std::uint64_t first_ = 0, last_ = 0;
  std::size_t waiting_ = 0;  // bytes of records that wait to be sent together
};

}  // namespace agentrun::sink
