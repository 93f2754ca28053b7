// Small files of NUL-ended fields, because a path can contain any byte except NUL.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <agentrun/sys/fd.h>

namespace agentrun::review {

using Fields = std::vector<std::string>;

inline std::string encode_fields(const Fields& fields) {
  std::string bytes;
  for (const std::string& field : fields) bytes.append(field).push_back('\0');
  return bytes;
}

/// Ignores a last field without NUL: its writer was killed.
inline Fields decode_fields(std::string_view bytes) {
  Fields fields;
  for (std::size_t end; (end = bytes.find('\0')) != std::string_view::npos; bytes.remove_prefix(end + 1))
    fields.emplace_back(bytes.substr(0, end));
  return fields;
}

/// Empty when there is no such file. Throws SysError (EFBIG over the limit).
Fields read_fields(const Fd& directory, const std::string& name, std::size_t limit);

}  // namespace agentrun::review
