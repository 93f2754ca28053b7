// A disk that fails, for whom it is preloaded to (ld.so(8), LD_PRELOAD): from the FAULTY_AFTER-th decision on, write(2)
// of a record fails with FAULTY_ERRNO, or takes half of it where that is 0; fdatasync(2) fails where FAULTY_SYNC is
// set. And a wall clock that is FAULTY_DAYS behind.
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}
// Read before the broker wipes its environment.
const int after = number("FAULTY_AFTER", 1 << 30);
const int error = number("FAULTY_ERRNO", EIO);
const int sync_error = number("FAULTY_SYNC", 0);
const int days = number("FAULTY_DAYS", 0);
std::atomic<int> decisions{0};

template <typename F>
F next(const char* name) {
  F function;
  void* symbol = ::dlsym(RTLD_NEXT, name);
  std::memcpy(&function, &symbol, sizeof function);
  return function;
}
const auto real_write = next<ssize_t (*)(int, const void*, std::size_t)>("write");
const auto real_clock = next<int (*)(clockid_t, timespec*)>("clock_gettime");
const auto real_fdatasync = next<int (*)(int)>("fdatasync");

}  // namespace

extern "C" ssize_t write(int fd, const void* data, std::size_t size) {
  const std::string_view text(static_cast<const char*>(data), size);
  thread_local const void* rest = nullptr;  // of half a record: what follows it fails
  if (rest != nullptr && data == rest) {
    errno = EIO;
    return -1;
  }
  if (!text.starts_with("{\"act\":") || ++decisions <= after) return real_write(fd, data, size);
  if (error == 0) {
    rest = text.data() + size / 2;
    return real_write(fd, data, size / 2);
  }
  errno = error;
  return -1;
}

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = real_clock(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec -= 86'400L * days;
  return result;
}

extern "C" int fdatasync(int fd) {
  if (sync_error == 0 || decisions <= after) return real_fdatasync(fd);
  errno = sync_error;
  return -1;
}
