// Compares OPTIONS of a man page with the option table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agentrun::cli {

/// What is wrong with the section OPTIONS of `page` ("agent-run.1"), whose scdoc source is `source`: one line each,
/// empty when its headings are the options of the table, with their arguments, in its order.
std::vector<std::string> wrong_options(std::string_view page, std::string_view source);

}  // namespace agentrun::cli
