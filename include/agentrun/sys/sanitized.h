// Builds with a sanitizer (meson -Db_sanitize=…) differ from the product in a few places, all of which ask this.
#pragma once

namespace agentrun {

/// The run time of a sanitizer makes its own system calls at any moment, and reports on standard error. So init and the
/// broker do not load their own filters, and the broker's standard error stays open. The agent's filter is always
/// loaded.
#ifdef AGENTRUN_SANITIZED  // by meson, also for what is itself compiled without
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace agentrun
