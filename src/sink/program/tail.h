// Passes a journal's records, from the cursor on, to a sender.
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

/// Theory of operation. One thread runs one loop:
/// - read: takes records from the journal while the window has room (window_items, window_bytes);
/// - send: hands over what was not sent, unless a failure requires a pause of 0.1 s, doubled each time, up to 30 s;
/// - settle: removes what has arrived from the window and moves the cursor behind it. The cursor never passes what the
///   receiver has, so nothing is left out, and what is sent twice has the same id;
/// - wait: for the journal (looked at ten times a second), the receiver, or an order of the supervisor.
/// It writes nothing but the cursor and does not outlive the supervisor (the socket closes, and PDEATHSIG).
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
  bool receive();
  void answer();
  void fail(const Result& result);
  void lose(const Item& item, const Result& result);
  void move_cursor(std::uint64_t record);
  void report(const Event& event);

  Fd control_, cursor_;
  journal::Follower follower_;
  Encoder encoder_;
  std::unique_ptr<Sender> sender_;
  std::uint64_t skip_ = 0;       // the follower passes over the records before this one
  std::uint64_t at_ = 0;         // the cursor: the first record that has not arrived
  std::uint64_t read_ = 0;       // the first record that has not been read
  std::deque<Item> window_;      // read, and not arrived
  std::size_t bytes_ = 0;        // of the window
  std::size_t sent_ = 0;         // items at the front of the window that were sent
  std::int64_t not_before_ = 0;  // boot time
  unsigned failures_ = 0;        // in a row
  bool reached_ = false;         // at least once
  bool off_ = false;             // the receiver refuses everything
  bool reported_down_ = false;
  std::optional<std::uint64_t> target_;  // what an order asks for
  std::string off_reason_;
  bool answered_ = false;
  bool closing_ = false;
};

}  // namespace agentrun::sink
