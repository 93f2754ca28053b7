// A field of a record as text, also if it is not UTF-8.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <agentrun/journal/byte_names.h>

namespace agentrun::cli {

/// Not escaped for a terminal. Empty when there is no such member.
inline std::string record_text(const nlohmann::json& record, const std::string& key) {
  if (const auto found = record.find(key); found != record.end())
    return found->is_string() ? found->get<std::string>() : found->dump();
  const auto encoded = record.find(key + std::string(journal::base64_suffix));
  return encoded != record.end() && encoded->is_string() ? journal::shown_base64(encoded->get_ref<const std::string&>())
                                                         : std::string();
}

}  // namespace agentrun::cli
