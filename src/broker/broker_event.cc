#include "broker/broker_event.h"

#include <sys/socket.h>

#include <array>
#include <charconv>

namespace agentrun::broker {

namespace {
constexpr std::size_t field_count = 5;
constexpr std::size_t max_text = 8192;

void field(std::string& out, std::string_view text) {
  out.append(text.substr(0, std::min(max_text, text.find('\0'))));
  out.push_back('\0');
}

bool number(std::string_view text, std::uint64_t& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc{} && end == text.data() + text.size();
}
}  // namespace

std::string encode(const Event& event) {
  std::string out(1, static_cast<char>('a' + static_cast<int>(event.kind)));
  field(out, event.text);
  field(out, event.remedy);
  field(out, std::to_string(event.decisions));
  field(out, std::to_string(event.denials));
  field(out, std::to_string(event.absent));
  return out;
}

std::optional<Event> decode_event(std::string_view bytes) {
  if (bytes.empty() || bytes[0] < 'a' || bytes[0] > 'a' + static_cast<int>(Event::Kind::counts)) return std::nullopt;
  Event event{.kind = static_cast<Event::Kind>(bytes[0] - 'a')};
  bytes.remove_prefix(1);
  std::array<std::string_view, field_count> fields;
  for (std::string_view& f : fields) {
    const std::size_t end = bytes.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    f = bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
  }
  event.text = fields[0];
  event.remedy = fields[1];
  if (!bytes.empty() || !number(fields[2], event.decisions) || !number(fields[3], event.denials) ||
      !number(fields[4], event.absent)) {
    return std::nullopt;
  }
  return event;
}

void post(const Fd& control, const Event& event) noexcept {
  const std::string bytes = encode(event);
  ::send(control.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace agentrun::broker
