// The file that -o names.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include <agentrun/sys/fd.h>

namespace agentrun::cli {

/// Throws the SysError of standard output that cannot be written. It is told by that alone: main finds no second one.
[[noreturn]] void throw_unwritten(int error);

/// Creates or empties the file `path` for writing, readable by this user alone: it will tell what their programs did.
/// An existing file gets that mode (0600) too. A symbolic link there, and a file of another user, throw Refusal: the
/// sandboxed command may have made them. So do a directory, and a FIFO that nobody reads: it is not waited for. Devices
/// are opened as they are. Throws SysError.
Fd open_output(const std::string& path);

/// What -o names, to write to: a file as of open_output(), or standard output for "-". Throws as open_output() does.
class Output {
 public:
  explicit Output(std::string path);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::ostream& stream() noexcept { return stream_; }
  /// Writes out what is buffered; throws SysError when anything could not be written.
  void finish();

 private:
  std::string path_;
  std::unique_ptr<std::streambuf> file_;  // none: standard output
  std::ostream stream_;
};

}  // namespace agentrun::cli
