// UDP: each pair of the agent's socket and a destination that a rule allows is a flow with one socket of the host.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "egress/context.h"
#include "egress/dial.h"
#include "egress/drops.h"

namespace agentrun::egress {

class Datagrams : Watcher {
 public:
  Datagrams(Context& context, Drops& drops, Fd socket4, Fd socket6);
  ~Datagrams() override;
  void close_all();

 private:
  class Flow;
  void ready(unsigned tag, std::uint32_t events) override;
  void arrived(const policy::Destination& source, std::string_view bytes);
  Flow* new_flow(const std::string& key, const policy::Destination& source, const policy::Destination& to);
  void over(const std::string& key);
  [[nodiscard]] const Fd& socket_of(const policy::Destination& source) const { return source.v6 ? socket6_ : socket4_; }

  Context& context_;
  Drops& drops_;
  Fd socket4_, socket6_;
  std::vector<char> buffer_;
  std::unordered_map<std::string, std::unique_ptr<Flow>> flows_;  // by the source's address and port
};

}  // namespace agentrun::egress
