// Builds with a sanitizer (meson -Db_sanitize=…) differ from the product in a few places, all of which ask this.
#pragma once

namespace agentrun {

/// The run time of a sanitizer makes calls of its own at any moment, and says on standard error what it found. So init
/// and the broker enter no filter of their own and the broker keeps its standard error. The agent's filter is always
/// loaded.
#ifdef AGENTRUN_SANITIZED  // by meson, also for what is itself compiled without
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace agentrun
