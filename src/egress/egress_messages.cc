// The wire form of what the broker and egress say to each other: one letter, numbers of fixed size (both ends are the
// same program), texts with their length before them. Whoever is at the other end may have been taken over, so what
// encode() would not make is not read.
#include <agentrun/egress.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace agentrun::egress {

namespace {

constexpr char announcement_letter = 'A';
constexpr char answer_letter = 'R';
constexpr std::size_t longest_name = 253;
constexpr std::size_t longest_program = 4096;  // PATH_MAX
constexpr std::size_t longest_comm = 64;
constexpr std::size_t longest_rule = 1024;
constexpr int largest_errno = 4095;  // what the kernel takes for one

enum Flag : std::uint8_t { dial = 1, cancel = 2, source_v6 = 4, to_v6 = 8, to_udp = 16, all_flags = 31 };

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text, std::size_t longest) {
  text = text.substr(0, longest);
  put(out, static_cast<std::uint16_t>(text.size()));
  out.append(text);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  T take() {
    T value{};
    if (rest_.size() < sizeof value) {
      whole_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string text(std::size_t longest) {
    const auto size = take<std::uint16_t>();
    if (size > longest || size > rest_.size()) {
      whole_ = false;
      return {};
    }
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  [[nodiscard]] bool finished() const { return whole_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool whole_ = true;
};

bool name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

}  // namespace

std::string encode(const Announcement& a) {
  std::string out(1, announcement_letter);
  put(out, a.id);
  const bool udp = a.to.protocol == policy::Protocol::udp;
  put(out, static_cast<std::uint8_t>((a.dial ? dial : 0) | (a.cancel ? cancel : 0) | (a.source_v6 ? source_v6 : 0) |
                                     (a.to.v6 ? to_v6 : 0) | (udp ? to_udp : 0)));
  put(out, a.source_port);
  out.append(reinterpret_cast<const char*>(a.source), sizeof a.source);
  put(out, a.to.port);
  out.append(reinterpret_cast<const char*>(a.to.address), sizeof a.to.address);
  put(out, a.pid);
  put(out, a.tid);
  put_text(out, a.name, longest_name);
  put_text(out, a.program, longest_program);
  put_text(out, a.comm, longest_comm);
  put_text(out, a.rule, longest_rule);
  return out;
}

std::optional<Announcement> decode_announcement(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.take<char>() != announcement_letter) return std::nullopt;
  Announcement a;
  a.id = reader.take<std::uint64_t>();
  const auto flags = reader.take<std::uint8_t>();
  if ((flags & ~all_flags) != 0) return std::nullopt;
  a.dial = (flags & dial) != 0;
  a.cancel = (flags & cancel) != 0;
  a.source_v6 = (flags & source_v6) != 0;
  a.to.v6 = (flags & to_v6) != 0;
  a.to.protocol = (flags & to_udp) != 0 ? policy::Protocol::udp : policy::Protocol::tcp;
  a.source_port = reader.take<std::uint16_t>();
  const auto source = reader.take<std::array<std::uint8_t, 16>>();
  std::copy(source.begin(), source.end(), a.source);
  a.to.port = reader.take<std::uint16_t>();
  const auto address = reader.take<std::array<std::uint8_t, 16>>();
  std::copy(address.begin(), address.end(), a.to.address);
  a.pid = reader.take<std::int32_t>();
  a.tid = reader.take<std::int32_t>();
  a.name = reader.text(longest_name);
  a.program = reader.text(longest_program);
  a.comm = reader.text(longest_comm);
  a.rule = reader.text(longest_rule);
  if (!reader.finished() || !std::ranges::all_of(a.name, name_byte)) return std::nullopt;
  const auto has_tail = [](const std::array<std::uint8_t, 16>& all) {
    return std::any_of(all.begin() + 4, all.end(), [](std::uint8_t byte) { return byte != 0; });
  };
  if ((!a.to.v6 && has_tail(address)) || (!a.source_v6 && has_tail(source))) return std::nullopt;
  return a;
}

std::string encode(const Answer& answer) {
  std::string out(1, answer_letter);
  put(out, answer.id);
  put(out, static_cast<std::int32_t>(answer.error));
  return out;
}

std::optional<Answer> decode_answer(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.take<char>() != answer_letter) return std::nullopt;
  Answer answer{.id = reader.take<std::uint64_t>(), .error = reader.take<std::int32_t>()};
  if (!reader.finished() || answer.error < 0 || answer.error > largest_errno) return std::nullopt;
  return answer;
}

}  // namespace agentrun::egress
