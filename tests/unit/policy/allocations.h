// How often this thread has allocated with operator new, which the test program replaces.
#pragma once

#include <cstddef>

namespace agentrun::policy::test {
std::size_t allocations() noexcept;
}  // namespace agentrun::policy::test
