#include <agentrun/journal.h>
#include <agentrun/sys/error.h>

namespace agentrun::journal {

int Appender::append(std::string_view line) noexcept {
  const ssize_t n = retry_eintr([&] { return ::write(fd_.get(), line.data(), line.size()); });
  if (n < 0) return errno;
  return static_cast<std::size_t>(n) == line.size() ? 0 : EIO;
}

}  // namespace agentrun::journal
