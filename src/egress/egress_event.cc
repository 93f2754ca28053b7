#include "egress/egress_event.h"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>

namespace agentrun::egress {

namespace {

constexpr std::size_t max_text = 8192;
// Every number of an Event, in the order of the wire.
constexpr std::uint64_t Event::*numbers[] = {&Event::flows,     &Event::bytes_out, &Event::bytes_in,
                                             &Event::questions, &Event::refused,   &Event::dropped};

void put(std::string& out, std::string_view text) {
  out.append(text.substr(0, std::min(max_text, text.find('\0'))));
  out.push_back('\0');
}

// The next field; false at the end or when its NUL lacks.
bool take(std::string_view& bytes, std::string_view& field) {
  const std::size_t end = bytes.find('\0');
  if (end == std::string_view::npos) return false;
  field = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  return true;
}

bool to_number(std::string_view text, std::uint64_t& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string encode(const Event& event) {
  std::string out(1, static_cast<char>('a' + static_cast<int>(event.kind)));
  put(out, event.text);
  put(out, event.remedy);
  for (const auto number : numbers) put(out, std::to_string(event.*number));
  return out;
}

std::optional<Event> decode_event(std::string_view bytes) {
  if (bytes.empty() || bytes[0] < 'a' || bytes[0] > 'a' + static_cast<int>(Event::Kind::counts)) return std::nullopt;
  Event event{.kind = static_cast<Event::Kind>(bytes[0] - 'a')};
  bytes.remove_prefix(1);
  std::string_view text, remedy, number;
  if (!take(bytes, text) || !take(bytes, remedy)) return std::nullopt;
  event.text = text;
  event.remedy = remedy;
  for (const auto member : numbers) {
    if (!take(bytes, number) || !to_number(number, event.*member)) return std::nullopt;
  }
  if (!bytes.empty()) return std::nullopt;
  return event;
}

void post(const Fd& control, const Event& event) noexcept {
  const std::string bytes = encode(event);
  ::send(control.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace agentrun::egress
