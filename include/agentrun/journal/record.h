// Records: writing one canonical JSON line and reading members of it. Format: agent-run-journal(5); RFC 8785.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <agentrun/journal/tree.h>

namespace agentrun::journal {

inline constexpr std::size_t max_text = 4096;                // bytes of one text; longer texts are truncated
inline constexpr std::size_t max_list = 2048;                // bytes of all texts of a list together
inline constexpr std::size_t max_record = 16 * 1024;         // bytes of a line with its LF
inline constexpr std::int64_t max_number = (1LL << 53) - 1;  // RFC 8785 §3.2.2.3: what a double holds exactly

/// Writes one canonical JSON object (RFC 8785) into a buffer that it owns and reuses. Keys must be plain ASCII and come
/// in ascending order; std::logic_error otherwise.
///
/// A text that is not UTF-8 is written as `<key>_b64` (RFC 4648 §4). A text is truncated to 4096 bytes at a character
/// boundary; to less when its escaped form is longer, or when the texts of the record exceed 14 KiB together. A
/// truncated text is followed by `<key>_len` (bytes) and `<key>_sha256` of the whole text. These members are placed
/// where the order of keys requires. The record of a decision therefore fits, whatever the agent puts into its paths.
class Record {
 public:
  Record();
  void begin() noexcept;  // empties the buffer
  Record& text(std::string_view key, std::string_view value);
  Record& number(std::string_view key, std::int64_t value);  // outside ±(2^53−1): as a decimal string
  Record& word(std::string_view key, std::uint64_t value);   // 64-bit values: always a decimal string
  Record& boolean(std::string_view key, bool value);
  /// An array of strings. If one element is not UTF-8, all are written to `<key>_b64`. Above 2048 bytes in total the
  /// list is truncated, and `<key>_len` and `<key>_sha256` cover all elements, each terminated by a NUL (the form of
  /// /proc/<pid>/cmdline, proc(5)).
  Record& list(std::string_view key, std::span<const std::string> values);
  Record& raw(std::string_view key, std::string_view canonical_json);  // not checked
  /// The finished line with its LF, valid until begin(). Throws std::length_error above 16 KiB.
  [[nodiscard]] std::string_view line();

 private:
  struct Late {  // a member whose key sorts after members that may still be added
    std::string key;
    std::string json;
  };
  void put(char c) noexcept;
  void put(std::string_view bytes) noexcept;
  void start_member(std::string_view key);
  void put_key(std::string_view key);
  void put_late(std::string_view before);
  void add_late(std::string_view key, std::string_view suffix, std::string json);
  void add_cut(std::string_view key, std::size_t length, const Hash& hash);
  void text_slow(std::string_view key, std::string_view value);
  [[nodiscard]] std::size_t room_for_text() const noexcept;

  std::unique_ptr<char[]> buffer_;
  std::size_t size_ = 0;
  std::size_t key_at_ = 0;  // the last key written, inside buffer_
  std::size_t key_size_ = 0;
  std::size_t text_bytes_ = 0;
  bool overflow_ = false;
  bool finished_ = false;
  std::vector<Late> late_;  // ascending by key
};

/// A top-level member of a record's line, unescaped. Returns nullopt when it is absent, has another type, or the line
/// is not canonical. `number_field` also accepts the decimal strings of number() and word() if they fit.
std::optional<std::string> text_field(std::string_view line, std::string_view key);
std::optional<std::int64_t> number_field(std::string_view line, std::string_view key);
/// An array of strings.
std::optional<std::vector<std::string>> list_field(std::string_view line, std::string_view key);

}  // namespace agentrun::journal
