// The notification decoder on hostile registers and memory: it must give an errno or a request within its bounds.
#include <climits>
#include <cstdlib>
#include <cstring>

#include "broker/notify/request.h"
#include "tests/unit/broker/fake_memory.h"

using namespace agentrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t base = 0x10000;
  seccomp_notif notification{};
  if (size < 2 + sizeof notification.data.args) return 0;
  const auto rows = filter::table();
  const filter::Row& row = rows[(data[0] | data[1] << 8) % rows.size()];
  notification.data.nr = row.nr;
  std::memcpy(notification.data.args, data + 2, sizeof notification.data.args);
  const std::size_t head = 2 + sizeof notification.data.args;
  // Most pointers should hit the memory: keep the low 16 bits and move them there.
  for (auto& argument : notification.data.args) {
    if ((argument >> 63) == 0) argument = base + (argument & 0xffff);
  }
  const FakeMemory memory(base, std::string(reinterpret_cast<const char*>(data) + head, size - head));
  broker::Request request;
  const int error = broker::decode(notification, row, memory, request);
  if (error < 0) std::abort();
  if (error == 0 && (request.name.path.size() >= PATH_MAX || request.name2.path.size() >= PATH_MAX ||
                     request.value.size() > 65536 || request.argv.size() > 257)) {
    std::abort();
  }
  return 0;
}
