// A thief in this process: looks for secrets in all memory that it can write, as ptrace(2) or a core would show it.
#pragma once

#include <agentrun/journal.h>

#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace journal_test {

/// A seed as the thief keeps it: not as it is, or he would find his own copy.
class Masked {
 public:
  explicit Masked(const unsigned char* seed) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<unsigned char>(seed[i] ^ mask);
  }
  [[nodiscard]] std::array<std::uint8_t, 32> open() const {
    std::array<std::uint8_t, 32> seed = bytes_;
    for (std::uint8_t& byte : seed) byte ^= mask;
    return seed;
  }
  [[nodiscard]] bool is_at(const unsigned char* memory) const noexcept {
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      if ((memory[i] ^ mask) != bytes_[i]) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint8_t mask = 0xa5;
  std::array<std::uint8_t, 32> bytes_{};
};

/// Calls `each(begin, end, flags)` for every readable and writable private mapping, until it says true.
template <typename F>
bool each_mapping(F&& each) {
  std::ifstream file("/proc/self/smaps");
  std::string line;
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool wanted = false;
  while (std::getline(file, line)) {
    unsigned long from = 0;
    unsigned long to = 0;
    std::array<char, 8> rights{};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, rights.data()) == 3) {
      begin = from;
      end = to;
      wanted = std::string_view(rights.data()) == "rw-p" && line.find("[vvar") == std::string::npos;
    } else if (wanted && line.starts_with("VmFlags:")) {
      if (each(reinterpret_cast<const unsigned char*>(begin), reinterpret_cast<const unsigned char*>(end), line))
        return true;
    }
  }
  return false;
}

/// The private half of a key, from the pages that are left out of core files ("dd"): each begins with a seed.
inline std::optional<Masked> stolen_seed(const agentrun::journal::Key& wanted) {
  std::optional<Masked> found;
  each_mapping([&](const unsigned char* begin, const unsigned char* end, const std::string& flags) {
    if (flags.find(" dd") == std::string::npos) return false;
    for (const unsigned char* page = begin; page < end; page += 4096) {
      std::array<std::uint8_t, 32> seed{};
      std::memcpy(seed.data(), page, seed.size());
      const bool fits = agentrun::journal::Key::from_seed("x", seed).public_bytes() == wanted.public_bytes();
      seed.fill(0);
      asm volatile("" : : "r"(seed.data()) : "memory");
      if (!fits) continue;
      found.emplace(page);
      return true;
    }
    return false;
  });
  return found;
}

inline bool is_in_memory(const Masked& secret) {
  return each_mapping([&](const unsigned char* begin, const unsigned char* end, const std::string&) {
    for (const unsigned char* at = begin; at + 32 <= end; at += 8) {
      if (secret.is_at(at)) return true;
    }
    return false;
  });
}

}  // namespace journal_test
