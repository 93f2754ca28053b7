// Runs when agent-run is built: writes the source that holds the shipped profiles, each as its text and as its tree.
//   profile-generate OUTPUT PROFILE.yaml…
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "profile/yaml_tree.h"

namespace {

using agentrun::profile::Entry;
using agentrun::profile::Node;
using Path = std::filesystem::path;

constexpr const char* kinds[] = {"null", "plain", "quoted", "list", "map"};

std::string as_literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    char octal[5];
    std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned char>(c));
    const bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '?';
    if (plain)
      out += c;
    else
      out += octal;
    if (c == '\n') out += "\"\n    \"";
  }
  return out + "\"";
}

unsigned fits(std::size_t number) {
  if (number > std::numeric_limits<std::uint16_t>::max()) throw std::range_error("a profile is too large to be stored");
  return static_cast<unsigned>(number);
}

void flatten(const Node& node, std::ostream& nodes, std::string& texts) {
  const std::size_t children = node.items.size() + node.entries.size();
  nodes << "  {Node::Kind::" << kinds[static_cast<int>(node.kind)] << ", "
        << fits(static_cast<std::size_t>(node.place.line)) << ", " << fits(static_cast<std::size_t>(node.place.column))
        << ", " << fits(children) << ", " << fits(node.text.size()) << "},\n";
  texts += node.text;
  for (const Node& item : node.items) flatten(item, nodes, texts);
  for (const Entry& entry : node.entries) {
    flatten(entry.key, nodes, texts);
    flatten(entry.value, nodes, texts);
  }
}

std::string read(const Path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) throw std::runtime_error(path.string() + ": cannot be read");
  return text;
}

void generate(const Path& output, std::vector<Path> files) {
  std::ranges::sort(files, {}, [](const Path& path) { return path.stem().string(); });
  std::ostringstream nodes, table;
  for (const Path& file : files) {
    const std::string text = read(file);
    std::string texts;
    const std::size_t number = static_cast<std::size_t>(&file - files.data());
    nodes << "constexpr StoredNode nodes_" << number << "[] = {\n";
    flatten(agentrun::profile::read_tree(text, file.filename().string()), nodes, texts);
    nodes << "};\n";
    table << "  {" << as_literal(file.stem().string()) << ",\n    " << as_literal(text) << ",\n    nodes_" << number
          << ",\n    " << as_literal(texts) << "},\n";
  }
  std::ofstream out(output);
  out << "#include \"profile/embedded.h\"\n\nnamespace agentrun::profile {\n\nnamespace {\n"
      << nodes.str() << "constexpr StoredProfile profiles[] = {\n"
      << table.str()
      << "};\n}  // namespace\n\nstd::span<const StoredProfile> stored_profiles() noexcept { return profiles; }\n\n}  "
         "// namespace agentrun::profile\n";
  if (!out.flush()) throw std::runtime_error(output.string() + ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw std::runtime_error("profile-generate OUTPUT PROFILE.yaml…");
    generate(argv[1], {argv + 2, argv + argc});
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
