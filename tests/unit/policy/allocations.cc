// A translation unit of its own: the compiler must not see both sides of a new and its delete. The nothrow form is
// replaced with them: a sanitizer's own would allocate what our delete cannot free (std::stable_sort uses it).
#include "allocations.h"

#include <cstdlib>
#include <new>

namespace {
thread_local std::size_t count = 0;
}  // namespace

namespace agentrun::policy::test {
std::size_t allocations() noexcept {
  return count;
}
}  // namespace agentrun::policy::test

void* operator new(std::size_t size) {
  ++count;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++count;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
