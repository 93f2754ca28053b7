// The host's own addresses. A public one leads to what the host serves to itself as well as to others, from within:
// past the firewall that others meet.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include <agentrun/policy.h>

namespace agentrun::egress {

class OwnAddresses {
 public:
  using Read = std::function<std::vector<policy::Destination>()>;
  /// Of all interfaces (getifaddrs(3)). Throws SysError.
  static std::vector<policy::Destination> of_host();

  /// Reads them at once, which throws; later ones that fail leave what is known.
  explicit OwnAddresses(Read read = of_host);
  /// Is it an address of an interface, as far as was known two seconds ago?
  bool has(const policy::Destination& to);

 private:
  void read();
  Read read_;
  std::unordered_set<std::string> known_;
  std::int64_t read_at_ = 0;
};

}  // namespace agentrun::egress
