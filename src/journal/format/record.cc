// Writes canonical JSON (RFC 8785). The buffer has its full size from the start, so writing is a bounds check and a
// copy. An overflow is noted, and line() throws.
#include <agentrun/journal.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "journal/format/encode.h"

namespace agentrun::journal {

namespace {

// The limit for all texts of a record. The rest is for keys, numbers and the members of truncated texts. Arguments,
// working directory and image (2 + 4 + 4 KiB) leave 4 KiB for the path, and in base64 one KiB.
constexpr std::size_t room_for_texts = 14 * 1024;
constexpr std::size_t max_base64 = (max_text + 2) / 3 * 4;  // what max_text bytes take

constexpr std::uint64_t ones = 0x0101010101010101;
constexpr std::uint64_t tops = 0x8080808080808080;
/// Not zero when one of eight bytes equals `byte`. Exact for the lowest such byte, which suffices for a test.
constexpr std::uint64_t has_byte(std::uint64_t word, std::uint8_t byte) {
  const std::uint64_t difference = word ^ (ones * byte);
  return (difference - ones) & ~difference & tops;
}
/// True when eight bytes are ASCII and need no escape in a JSON string.
constexpr bool is_plain(std::uint64_t word) {
  const std::uint64_t controls = (word - ones * ' ') & ~word;
  return (((word | controls) & tops) | has_byte(word, '"') | has_byte(word, '\\')) == 0;
}
template <typename Word>
Word load(const char* bytes) noexcept {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

/// The same for a text. The last word overlaps the one before it; a short text is padded with itself.
bool is_plain(std::string_view text) noexcept {
  const char* bytes = text.data();
  const std::size_t size = text.size();
  if (size >= 8) {
    for (std::size_t i = 0; i + 8 < size; i += 8) {
      if (!is_plain(load<std::uint64_t>(bytes + i))) return false;
    }
    return is_plain(load<std::uint64_t>(bytes + size - 8));
  }
  if (size >= 4) {
    return is_plain(std::uint64_t{load<std::uint32_t>(bytes)} << 32 | load<std::uint32_t>(bytes + size - 4));
  }
  std::uint64_t word = ones * 'x';
  if (size >= 2)
    word = word << 32 | load<std::uint16_t>(bytes) << 16 | load<std::uint16_t>(bytes + size - 2);
  else if (size == 1)
    word = word << 8 | static_cast<std::uint8_t>(bytes[0]);
  return is_plain(word);
}

/// memcpy for texts that are mostly too short for a call to pay: two overlapping words.
inline void copy(char* to, std::string_view text) noexcept {
  const char* from = text.data();
  const std::size_t size = text.size();
  if (size > 16) {
    std::memcpy(to, from, size);
  } else if (size >= 8) {
    const auto last = load<std::uint64_t>(from + size - 8);
    std::memcpy(to, from, 8);
    std::memcpy(to + size - 8, &last, 8);
  } else if (size >= 4) {
    const auto last = load<std::uint32_t>(from + size - 4);
    std::memcpy(to, from, 4);
    std::memcpy(to + size - 4, &last, 4);
  } else {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

/// RFC 8785 §3.2.2.2: short forms where they exist, \u00xx for other control characters, anything else unchanged.
void append_escaped(std::string& out, std::string_view character) {
  static constexpr std::string_view escaped = "\"\\\b\f\n\r\t";
  static constexpr std::string_view letters = "\"\\bfnrt";
  if (const auto at = escaped.find(character[0]); at != std::string_view::npos) {
    out.append({'\\', letters[at]});
  } else if (static_cast<std::uint8_t>(character[0]) < 0x20) {
    out.append("\\u00").append(hex(as_bytes(character)));
  } else {
    out.append(character);
  }
}

struct Written {
  std::string content;    // between the quotes
  std::size_t taken = 0;  // bytes of the source
};

/// Takes as many characters of UTF-8 `text` as fit into `limit` source bytes and `room` written bytes.
Written escape(std::string_view text, std::size_t limit, std::size_t room) {
  Written result;
  while (result.taken < text.size()) {
    const std::string_view rest = text.substr(result.taken);
    const std::size_t n = utf8_character(rest);
    const std::size_t before = result.content.size();
    append_escaped(result.content, rest.substr(0, n));
    if (result.taken + n > limit || result.content.size() > room) {
      result.content.resize(before);
      break;
    }
    result.taken += n;
  }
  return result;
}

Written encode(std::string_view bytes, std::size_t limit, std::size_t room) {
  const std::size_t taken = std::min({bytes.size(), limit, room / 4 * 3});
  return {.content = base64(as_bytes(bytes.substr(0, taken))), .taken = taken};
}

std::string in_quotes(std::string_view content) {
  return std::string("\"").append(content).append("\"");
}

}  // namespace

Record::Record() : buffer_(std::make_unique_for_overwrite<char[]>(max_record)) {
  begin();
}

void Record::begin() noexcept {
  buffer_[0] = '{';
  size_ = 1;
  key_at_ = key_size_ = text_bytes_ = 0;
  overflow_ = finished_ = false;
  late_.clear();
}

inline void Record::put(char c) noexcept {
  if (size_ == max_record) {
    overflow_ = true;
    return;
  }
  buffer_[size_++] = c;
}

inline void Record::put(std::string_view bytes) noexcept {
  if (bytes.size() > max_record - size_) {
    overflow_ = true;
    return;
  }
  copy(buffer_.get() + size_, bytes);
  size_ += bytes.size();
}

inline void Record::start_member(std::string_view key) {
  if (finished_ || key.empty() || !is_plain(key)) throw std::logic_error("journal key: " + std::string(key));
  if (key_size_ != 0) {
    // Fast path: most keys differ in their first byte.
    if (key[0] <= buffer_[key_at_] && key <= std::string_view(buffer_.get() + key_at_, key_size_)) {
      throw std::logic_error("journal key out of order: " + std::string(key));
    }
    put(',');
  }
  if (key.size() + 3 > max_record - size_) {
    overflow_ = true;
    return;
  }
  char* at = buffer_.get() + size_;
  *at++ = '"';
  copy(at, key);
  at[key.size()] = '"';
  at[key.size() + 1] = ':';
  key_at_ = size_ + 1;
  key_size_ = key.size();
  size_ += key.size() + 3;
}

inline void Record::put_key(std::string_view key) {
  if (!late_.empty()) put_late(key);
  start_member(key);
}

/// Writes the late members whose keys sort before `before`; an empty one means all.
void Record::put_late(std::string_view before) {
  while (!late_.empty() && (before.empty() || late_.front().key < before)) {
    start_member(late_.front().key);
    put(late_.front().json);
    late_.erase(late_.begin());
  }
}

void Record::add_late(std::string_view key, std::string_view suffix, std::string json) {
  Late member{.key = std::string(key).append(suffix), .json = std::move(json)};
  const auto place = std::ranges::lower_bound(late_, member.key, {}, &Late::key);
  late_.insert(place, std::move(member));
}

void Record::add_cut(std::string_view key, std::size_t length, const Hash& hash) {
  add_late(key, "_len", std::to_string(length));
  add_late(key, "_sha256", in_quotes(hex(hash)));
}

std::size_t Record::room_for_text() const noexcept {
  return room_for_texts - std::min(room_for_texts, text_bytes_);
}

Record& Record::text(std::string_view key, std::string_view value) {
  if (value.size() > std::min(max_text, room_for_text()) || !is_plain(value)) {
    text_slow(key, value);
    return *this;
  }
  text_bytes_ += value.size();
  put_key(key);
  put('"');
  put(value);
  put('"');
  return *this;
}

void Record::text_slow(std::string_view key, std::string_view value) {
  const bool utf8 = is_utf8(value);
  const std::size_t room = room_for_text();
  const Written written =
      utf8 ? escape(value, max_text, std::min(room, max_text)) : encode(value, max_text, std::min(room, max_base64));
  text_bytes_ += written.content.size();
  if (utf8) {
    put_key(key);
    put(in_quotes(written.content));
  } else {
    put_late(key);
    add_late(key, "_b64", in_quotes(written.content));
  }
  if (written.taken < value.size()) add_cut(key, value.size(), sha256(value));
}

Record& Record::list(std::string_view key, std::span<const std::string> values) {
  const bool utf8 = std::ranges::all_of(values, [](const std::string& value) { return is_utf8(value); });
  std::string json = "[";
  std::string all;  // every element with its NUL, for the hash of a truncated list
  std::size_t taken = 0;
  bool cut = false;
  for (const std::string& value : values) {
    all.append(value).push_back('\0');
    if (cut) continue;
    const std::size_t limit = max_list - std::min(max_list, taken);
    const std::size_t room = std::min(max_list, room_for_text());
    // Quotes and commas count, too: otherwise ten thousand empty elements would fit.
    const std::size_t free = room - std::min(room, json.size() + 3);
    const Written written = utf8 ? escape(value, limit, free) : encode(value, limit, free);
    cut = written.taken < value.size() || free == 0;
    if (free == 0) continue;
    taken += written.taken;
    if (json.size() > 1) json.push_back(',');
    json.append(in_quotes(written.content));
  }
  json.push_back(']');
  text_bytes_ += json.size();
  if (utf8) {
    put_key(key);
    put(json);
  } else {
    put_late(key);
    add_late(key, "_b64", std::move(json));
  }
  if (cut) add_cut(key, all.size(), sha256(all));
  return *this;
}

Record& Record::number(std::string_view key, std::int64_t value) {
  std::array<char, 24> digits;
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  const bool exact = value >= -max_number && value <= max_number;
  put_key(key);
  if (!exact) put('"');
  put({digits.data(), static_cast<std::size_t>(end - digits.data())});
  if (!exact) put('"');
  return *this;
}

Record& Record::word(std::string_view key, std::uint64_t value) {
  std::array<char, 24> digits;
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  put_key(key);
  put('"');
  put({digits.data(), static_cast<std::size_t>(end - digits.data())});
  put('"');
  return *this;
}

Record& Record::boolean(std::string_view key, bool value) {
  put_key(key);
  put(value ? std::string_view("true") : std::string_view("false"));
  return *this;
}

Record& Record::raw(std::string_view key, std::string_view canonical_json) {
  put_key(key);
  put(canonical_json);
  return *this;
}

std::string_view Record::line() {
  if (!finished_) {
    put_late({});
    put("}\n");
    finished_ = true;
  }
  if (overflow_) throw std::length_error("a journal record over 16 KiB");
  return {buffer_.get(), size_};
}

}  // namespace agentrun::journal
