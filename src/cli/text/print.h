// What is printed for people: every piece of text is escaped, unless its type says that it is safe.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/core.h>

#include <agentrun/sys/utf8.h>

namespace agentrun::cli {

/// Text that was escaped already, or that agent-run alone made and that holds its own line ends. It is printed as it
/// is.
struct Safe {
  std::string_view text;
};

/// What stands for an argument in the output: text as printable() (sys/utf8.h) shows it, numbers as they are.
template <typename T>
auto shown(const T& value) {
  if constexpr (std::is_same_v<T, Safe>)
    return value.text;
  else if constexpr (std::is_same_v<T, std::filesystem::path>)
    return printable(value.native());
  else if constexpr (std::is_convertible_v<const T&, std::string_view>)
    return printable(value);
  else
    return value;
}
template <typename T>
using Shown = decltype(shown(std::declval<const T&>()));

/// Writes to `file`. An error stays with the stream (ferror()), as with the functions of <cstdio>.
void write_text(std::FILE* file, std::string_view text);
void write_formatted(std::FILE* file, fmt::string_view format, fmt::format_args arguments);

/// On standard output. The format itself is not escaped: it is a literal, and checked when it is compiled.
template <typename... T>
void print(fmt::format_string<Shown<T>...> format, const T&... values) {
  write_formatted(stdout, format, fmt::make_format_args(shown(values)...));
}
/// On standard error.
template <typename... T>
void print_diagnostic(fmt::format_string<Shown<T>...> format, const T&... values) {
  write_formatted(stderr, format, fmt::make_format_args(shown(values)...));
}

}  // namespace agentrun::cli
