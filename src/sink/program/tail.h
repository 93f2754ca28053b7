// A journal's records, from a cursor on, to a sender.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <agentrun/journal/query.h>
#include <agentrun/sink/live.h>
#include <agentrun/sys/fd.h>
#include "sink/program/item.h"
#include "sink/program/sender.h"

namespace agentrun::sink {

/// Theory of operation. One thread, one loop:
///   read   what the journal has, as far as the window has room (at most window_items, window_bytes in memory);
///   send   what was not handed over, unless a failure says to wait: 0.1 s, doubled each time, 30 s at most;
///   settle what has arrived leaves the window, and the cursor moves behind it. The cursor never goes ahead of the
///   receiver, so
///          what is sent twice has the same id, and nothing is left out;
///   wait   for the journal (it is looked at ten times a second), the receiver, or a word of the supervisor.
/// Must not: write anything but the cursor; outlive the supervisor (its end of the socket closes, and PDEATHSIG).
class Tail {
 public:
  Tail(Fd control, Fd directory, Fd cursor, const Target& target, std::optional<Signer> signer,
       std::unique_ptr<Sender> sender, bool over);
  void run();

 private:
  bool read();
  void send();
  void settle();
  enum class Pace : std::uint8_t { go_on, rest };
  bool wait(Pace pace);
  bool listen();
  void answer();
  void fail(const Result& result);
  void lose(const Item& item, const Result& result);
  void move_cursor(std::uint64_t record);
  void say(const Event& event);

  Fd control_, cursor_;
  journal::Follower follower_;
  Encoder encoder_;
  std::unique_ptr<Sender> sender_;
  std::uint64_t skip_ = 0;       // records before the cursor that the follower has yet to pass over
  std::uint64_t at_ = 0;         // the cursor: the first record that has not arrived
  std::uint64_t read_ = 0;       // the first record that was not read
  std::deque<Item> window_;      // read, and not arrived
  std::size_t bytes_ = 0;        // of the window
  std::size_t sent_ = 0;         // of the window, from its front on
  std::int64_t not_before_ = 0;  // boot time
  unsigned failures_ = 0;        // in a row
  bool reached_ = false;         // once
  bool off_ = false;             // it was told to go away
  bool told_down_ = false;
  std::optional<std::uint64_t> target_;  // where it was told to arrive
  std::string off_reason_;
  bool answered_ = false;
  bool closing_ = false;
};

}  // namespace agentrun::sink
