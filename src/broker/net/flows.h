// Connections that leave the sandbox: announced to egress, which dials, and connected when it has answered. No receiver
// waits for that: one thread does, for all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <agentrun/egress.h>
#include "broker/net/socket.h"
#include "broker/notify/listener.h"
#include "broker/workers.h"

namespace agentrun::broker {

class Flows {
 public:
  /// `link`: take_link() of egress; empty: nothing leaves. `names` may be null then.
  Flows(Fd link, const egress::Names* names, const Listener& listener, DecisionLog& log, Workers& workers);

  [[nodiscard]] bool open() const noexcept { return static_cast<bool>(link_); }
  /// What a synthetic address stands for; empty when it stands for nothing.
  [[nodiscard]] std::string name_of(const policy::Destination& to) const;

  /// A connect that waits for egress.
  struct Call {
    Permit permit;    // the connect was recorded: the one of `outcome`
    Outcome outcome;  // whose it is
    AgentSocket socket;
    sockaddr_storage address{};
    socklen_t size = 0;
    Fd proc;                      // the caller's directory: what interrupts it
    std::shared_ptr<Fd> pinned;   // what `address` names by its number
    std::int64_t deadline = 0;    // boot time, ns
    int late = 0;                 // the errno of a call that waited until then
    std::uint64_t announced = 0;  // the announcement's id; 0: it leaves for nowhere
  };
  /// Announces a flow that egress dials before the call goes on: taken, and the call is answered from here; or refused,
  /// and nothing was announced. EAGAIN: too many wait already.
  [[nodiscard]] Deferral announce(egress::Announcement announcement, Call call);
  /// Announces a flow for which nobody waits. 0 or an errno; `id`: to withdraw it by.
  int announce(const Permit& permit, egress::Announcement announcement, std::uint64_t& id);
  /// A connect that was announced came to `error`. When that means that nothing will come of it, the announcement is
  /// taken back: it must not wait for whoever uses the port next.
  void withdraw(std::uint64_t announced, int error) noexcept;

  /// Goes on with a connect on a thread of its own and answers `call` with what it came to. Refused with EAGAIN when
  /// all are busy.
  [[nodiscard]] Deferral wait_for(Call call);

  /// The thread's life; returns when egress is gone.
  void run();

 private:
  int send(const egress::Announcement& announcement, int patience_ms) noexcept;
  void cancel(std::uint64_t id) noexcept;
  void read_answers();
  void finish(Call call, int error);
  void answer(Call call, int error) noexcept;
  void look_after();

  static constexpr std::size_t most = 1024;
  Fd link_;
  Fd wake_;  // eventfd: something waits now
  const egress::Names* names_;
  const Listener& listener_;
  DecisionLog& log_;
  Workers& workers_;
  std::mutex mutex_;
  std::map<std::uint64_t, Call> waiting_;  // by the announcement's id
  bool asleep_ = false;                    // the thread waits without end: who announces wakes it
  std::uint64_t looked_at_ = 0;            // the last one that look_after() saw
  std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace agentrun::broker
