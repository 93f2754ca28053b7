// Reads the lines of a journal in order, over all segments, in bounded memory.
#pragma once

#include <agentrun/sys/fd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace agentrun::journal {

struct Line {
  std::string_view data;    // without LF, valid until the next call
  std::uint64_t index = 0;  // of the record
  unsigned segment = 0;
  std::uint64_t number = 0;  // inside the segment, from 1, as editors count
};

/// "record 17 (entries.000000.jsonl line 18)"
std::string place(std::uint64_t index, unsigned segment, std::uint64_t number);
inline std::string place(const Line& line) {
  return place(line.index, line.segment, line.number);
}

class LineReader {
 public:
  /// `directory` must outlive the reader.
  explicit LineReader(const Fd& directory);
  /// The next complete line. False at the end, and where broken() says why reading stops. Throws SysError.
  bool next(Line& line);
  /// Of all segments: bytes read so far, and the total.
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return read_; }
  [[nodiscard]] std::uint64_t bytes() const;
  /// Bytes after the last LF of the last segment.
  [[nodiscard]] std::uint64_t torn_bytes() const noexcept { return torn_; }
  /// Set when a line is longer than max_record, or lacks its LF although another segment follows.
  [[nodiscard]] const std::optional<std::string>& broken() const noexcept { return broken_; }

 private:
  /// nullopt when it is absent. Anything but a regular file sets broken().
  std::optional<Fd> open_segment(unsigned number);
  bool refill();
  bool end_segment();

  const Fd* directory_;
  std::optional<std::string> broken_;
  std::optional<Fd> file_;
  std::unique_ptr<char[]> buffer_;
  std::size_t begin_ = 0;  // the first byte that was not returned
  std::size_t end_ = 0;
  std::uint64_t index_ = 0;
  unsigned segment_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t torn_ = 0;
  std::uint64_t read_ = 0;
};

}  // namespace agentrun::journal
