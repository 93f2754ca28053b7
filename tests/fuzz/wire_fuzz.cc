// What a service that was taken over sends the supervisor: read as encode() makes it, or not at all.
#include <agentrun/sys/service_event.h>
#include <agentrun/sys/wire.h>

#include <cstdlib>
#include <string_view>

using namespace agentrun;

namespace {

// The data's first half says what is read, the second half is read.
void fuzz_reader(std::string_view bytes) {
  const std::string_view steps = bytes.substr(0, bytes.size() / 2), message = bytes.substr(steps.size());
  WireReader reader(message);
  std::size_t used = 0;
  for (const char step : steps) {
    if ((step & 1) != 0) {
      (void)reader.number<std::uint64_t>();
      used += sizeof(std::uint64_t);
    } else {
      const auto longest = static_cast<std::uint8_t>(step);
      const std::string_view text = reader.text(longest);
      if (text.size() > longest) std::abort();
      used += sizeof(std::uint16_t) + text.size();
    }
  }
  if (reader.finished() && used != message.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Kind = ServiceEvent::Kind;
  static constexpr Kind kinds[] = {Kind::ready, Kind::failed, Kind::denial, Kind::trace, Kind::journal_fail,
                                   Kind::moved, Kind::kill,   Kind::notice, Kind::counts};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto event = decode_event(bytes, kinds); event && encode(*event) != bytes) std::abort();
  fuzz_reader(bytes);
  return 0;
}
