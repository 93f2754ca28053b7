// Texts of errors, and the symbolic names of errnos.
#include <agentrun/sys/error.h>

#include <cstring>

namespace agentrun {

namespace {
std::string describe(std::string_view call, std::string_view object) {
  std::string text(call);
  if (!object.empty()) text.append(" ").append(object);
  return text;
}
}  // namespace

SysError::SysError(int error, std::string_view call, std::string_view object)
    : std::system_error(error, std::generic_category(), describe(call, object)), call_(call), object_(object) {}

void throw_errno(std::string_view call, std::string_view object) {
  throw SysError(errno, call, object);
}

std::string_view errno_name(int error) noexcept {
  const char* name = ::strerrorname_np(error);  // glibc 2.32
  return name != nullptr ? name : "E?";
}

}  // namespace agentrun
