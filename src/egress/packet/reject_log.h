// What was refused without a question: packets that the filter rejected, flows and datagrams that nobody announced. The
// agent can make any number of them, so those to the same destination within a second are one record.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "egress/egress_records.h"
#include "egress/event_loop.h"

namespace agentrun::egress {

class Drops : Watcher {
 public:
  Drops(Loop& loop, const policy::Policy& policy, Recorder& recorder)
      : loop_(loop), policy_(policy), recorder_(recorder) {}
  struct Drop {
    std::string_view type;  // nft.drop, net.refused
    policy::Destination to;
    std::string proto;
    std::string_view reason;
    std::optional<std::uint32_t> uid;
    std::string name;  // what the destination stands for
  };
  void add(const Drop& drop);
  /// Writes what is held.
  void flush();

 private:
  static constexpr std::size_t most_kept = 128;  // destinations in a second
  struct Held {
    Drop drop;
    std::uint64_t count = 0;
  };
  void ready(unsigned /*tag*/, std::uint32_t /*events*/) override {}
  void expired() override { flush(); }
  Loop& loop_;
  const policy::Policy& policy_;
  Recorder& recorder_;
  std::map<std::string, Held> held_;
  std::map<std::string_view, std::uint64_t> others_;
};

}  // namespace agentrun::egress
