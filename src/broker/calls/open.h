// open, openat, creat, openat2.
#pragma once

#include <functional>

#include "broker/broker_context.h"
#include "broker/calls/permit.h"

namespace agentrun::broker {

Reply answer_open(Receiver& rx, Call& c);
/// Judges, records and opens what exists.
Reply open_existing(Receiver& rx, Call& c, Object& object);

/// Opens a pinned object for reading, which changes nothing. Returns 0 or an errno: EIO for flags that write, EAGAIN
/// when somebody holds a lease on the file.
int open_to_read(const Receiver& rx, const Object& object, std::uint64_t flags, Fd& to);
/// The same for every flag.
int open_to_write(const Permit& permit, const Receiver& rx, const Object& object, std::uint64_t flags, Fd& to);
/// Creates the file, which must not exist, and opens it. Empty with errno on failure.
Fd open_new(const Permit& permit, const ParentAndName& at, std::uint64_t flags, mode_t mode, mode_t mask);
/// Opens an O_TMPFILE in the directory. Empty with errno on failure.
Fd open_new_temporary(const Permit& permit, int host_proc, const Object& directory, std::uint64_t flags, mode_t mode,
                      mode_t mask);
/// Answers the call from its own thread, because the open may wait.
Reply answer_later(const Permit& permit, Receiver& rx, Call& c, std::function<Reply()> call);

}  // namespace agentrun::broker
