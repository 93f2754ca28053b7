// A second opinion on how a call is decoded: by its name, as the code did before the table of calls had roles.
#pragma once

#include <string_view>

#include "broker/notify/request.h"

/// As broker::decode(), but the XATTR_* flags are in `flags`, and the flags that a call has by its name are not there.
/// -1 for a call that it does not know.
int reference_decode(const seccomp_notif& notification, std::string_view name, const agentrun::broker::Memory& memory,
                     agentrun::broker::Request& request);
