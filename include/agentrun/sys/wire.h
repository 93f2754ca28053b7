// The one codec of messages between processes of one build: whole numbers of fixed width in host byte order, texts with
// their length before them, descriptors alongside. A reader accepts only what a writer produces, because the process at
// the other end may be compromised.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <agentrun/sys/fd.h>

namespace agentrun {

/// Builds one message. The buffer is allocated once when `reserve` bytes suffice.
class WireWriter {
 public:
  static constexpr std::size_t most_descriptors = 16;  // send_message() takes no more

  explicit WireWriter(char tag, std::size_t reserve = 64) {
    bytes_.reserve(reserve);
    bytes_.push_back(tag);
  }
  /// Writes sizeof(T) bytes.
  template <std::integral T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  /// Writes exactly N bytes, without a length.
  template <std::size_t N>
  void put_bytes(const std::uint8_t (&bytes)[N]) {
    bytes_.append(reinterpret_cast<const char*>(bytes), N);
  }
  /// Writes the length in two bytes, then at most `longest` (below 65,536) bytes of `text`.
  void put_text(std::string_view text, std::uint16_t longest) {
    text = text.substr(0, longest);
    put(static_cast<std::uint16_t>(text.size()));
    bytes_.append(text);
  }
  /// The descriptor travels alongside, in order; it stays the caller's. Throws SysError (EINVAL) for one too many.
  void put_fd(int fd);

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::span<const int> fds() const noexcept { return {fds_.data(), fd_count_}; }
  [[nodiscard]] std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
  std::array<int, most_descriptors> fds_{};
  std::size_t fd_count_ = 0;
};

/// Reads one message in the order in which it was written. What is missing or too long makes the whole message invalid:
/// from then on each read gives nothing, and finished() is false. The bytes and descriptors must outlive it.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes, std::span<Fd> fds = {}) noexcept : rest_(bytes), fds_(fds) {}

  template <std::integral T>
  [[nodiscard]] T number() noexcept {
    T value{};
    const std::string_view bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> bytes() noexcept {
    std::array<std::uint8_t, N> value{};
    const std::string_view bytes = take(N);
    if (!bytes.empty()) std::memcpy(value.data(), bytes.data(), N);
    return value;
  }
  /// A view of the message's bytes; one longer than `longest` is invalid.
  [[nodiscard]] std::string_view text(std::size_t longest) noexcept {
    const auto size = number<std::uint16_t>();
    if (size > longest) {
      fail();
      return {};
    }
    return take(size);
  }
  /// The next descriptor that came alongside.
  [[nodiscard]] Fd fd() noexcept {
    if (fds_.empty()) {
      fail();
      return {};
    }
    Fd fd = std::move(fds_.front());
    fds_ = fds_.subspan(1);
    return fd;
  }
  /// Everything was there, and every byte and descriptor was read.
  [[nodiscard]] bool finished() const noexcept { return valid_ && rest_.empty() && fds_.empty(); }

 private:
  void fail() noexcept {
    valid_ = false;
    rest_ = {};
  }
  std::string_view take(std::size_t size) noexcept {
    if (size > rest_.size()) {
      fail();
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
  std::span<Fd> fds_;
  bool valid_ = true;
};

}  // namespace agentrun
