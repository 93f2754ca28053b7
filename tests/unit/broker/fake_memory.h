// Memory that is a string at an address, with an unreadable page behind it.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "broker/notify/memory.h"

class FakeMemory final : public agentrun::broker::Memory {
 public:
  FakeMemory(std::uint64_t base, std::string bytes) : base_(base), bytes_(std::move(bytes)) {}

  [[nodiscard]] ssize_t read(std::uint64_t address, void* to, std::size_t size) const override {
    if (gone) return -ESRCH;
    if (address < base_ || address >= base_ + bytes_.size()) return 0;
    const std::size_t n = std::min(size, bytes_.size() - (address - base_));
    std::memcpy(to, bytes_.data() + (address - base_), n);
    return static_cast<ssize_t>(n);
  }

  bool gone = false;

 private:
  std::uint64_t base_;
  std::string bytes_;
};
