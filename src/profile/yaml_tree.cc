// YAML text → tree, without what readers of YAML understand differently.
#include "profile/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include <agentrun/profile/fail.h>
#include <agentrun/sys/utf8.h>

namespace agentrun::profile {

namespace {

// The language needs five levels; what is deeper is an attack on the stack or a mistake.
constexpr std::size_t max_depth = 8;

Place place_of_byte(std::string_view text, std::size_t offset, const std::string& file) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {.file = file, .line = static_cast<int>(line) + 1, .column = static_cast<int>(offset - start) + 1};
}

// yaml-cpp guesses the encoding and passes control bytes on; the language is UTF-8 text without either surprise.
void check_bytes(std::string_view text, const std::string& file) {
  if (text.size() > max_bytes)
    fail({.file = file}, {}, "the profile is larger than 64 KiB", "split it and join the parts with extends");
  for (std::size_t at = 0; at < text.size();) {
    const Character c = first_character(text.substr(at));
    if (c.bytes == 0) fail(place_of_byte(text, at, file), {}, "not UTF-8", "save the file as UTF-8");
    const bool line_end = c.code == '\n' || (c.code == '\r' && text.substr(at, 2) == "\r\n");
    if (is_control(c.code) && !line_end && c.code != '\t')
      fail(place_of_byte(text, at, file), {}, "a control character", "remove it");
    if (c.code == '%' && (at == 0 || text[at - 1] == '\n'))
      fail(place_of_byte(text, at, file), {}, "a YAML directive", "remove the line; quote a value that begins with %");
    at += c.bytes;
  }
}

// Builds the tree from the parser's events: the only level at which yaml-cpp shows anchors, tags and duplicate keys.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(place(mark), {}, "an alias", "write the value out");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_properties(mark, "?", anchor, "?");
    add({.kind = Node::Kind::null, .place = place(mark)});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool quoted = tag == "!";
    refuse_properties(mark, tag, anchor, quoted ? "!" : "?");
    for (std::string_view rest = value; !rest.empty();) {
      const Character c = first_character(rest);
      if (c.bytes == 0 || is_control(c.code))
        fail(place(mark), {}, "a control character in a value", "remove it; to match such a byte in a path, write ?");
      rest.remove_prefix(c.bytes);
    }
    add({.kind = quoted ? Node::Kind::quoted : Node::Kind::plain, .place = place(mark), .text = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  [[nodiscard]] Node take() {
    return std::move(root_).value_or(Node{.place = {.file = file_, .line = 1, .column = 1}});
  }
  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (mark.is_null()) return {.file = file_};
    return {.file = file_, .line = mark.line + 1, .column = mark.column + 1};
  }

 private:
  struct Open {
    Node node;
    std::optional<Node> key;  // of a map: read, and waiting for its value
  };

  // yaml-cpp gives a quoted scalar the tag "!" and everything else "?"; a written "!" looks the same, so look at the
  // text.
  void refuse_properties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         std::string_view usual) {
    const auto at = static_cast<std::size_t>(std::max(mark.pos, 0));
    const char first = at < text_.size() ? text_[at] : '\0';
    if (anchor != YAML::NullAnchor || first == '&') fail(place(mark), {}, "an anchor", "write the value out");
    if (tag != usual || first == '!')
      fail(place(mark), {}, "a tag", "remove it; quote a value that begins with an exclamation mark");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    refuse_properties(mark, tag, anchor, "?");
    if (stack_.size() >= max_depth) fail(place(mark), {}, "nested too deeply", "no key of a profile needs it");
    if (!stack_.empty() && stack_.back().node.kind == Node::Kind::map && !stack_.back().key)
      fail(place(mark), {}, "the key is not a word", "write a key of agent-run-profile(5)");
    stack_.push_back({.node = {.kind = kind, .place = place(mark)}, .key = {}});
  }

  void close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    refuse_duplicates(node);
    add(std::move(node));
  }

  void add(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Node::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.key) {
      // The parser's mark of a missing value is where the next token begins.
      if (node.kind == Node::Kind::null) node.place = parent.key->place;
      parent.node.entries.push_back({.key = std::move(*parent.key), .value = std::move(node)});
      parent.key.reset();
    } else {
      check_key(node);
      parent.key = std::move(node);
    }
  }

  static void check_key(const Node& key) {
    if (!key.is_scalar()) fail(key.place, {}, "the key is not a word", "write a key of agent-run-profile(5)");
    if (key.text == "<<") fail(key.place, {}, "a merge key", "write the values out, or use extends");
  }

  static void refuse_duplicates(const Node& map) {
    std::map<std::string_view, const Place*> seen;
    for (const Entry& entry : map.entries) {
      const auto [first, is_new] = seen.emplace(entry.key.text, &entry.key.place);
      if (!is_new)
        fail(entry.key.place, entry.key.text, "duplicate key",
             "join it with the one in line " + std::to_string(first->second->line));
    }
  }

  std::string_view text_;
  const std::string& file_;
  std::vector<Open> stack_;
  std::optional<Node> root_;
};

}  // namespace

Node read_tree(std::string_view text, const std::string& file) {
  check_bytes(text, file);
  Builder builder(text, file);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    Node root = builder.take();
    Builder rest(text, file);
    if (parser.HandleNextDocument(rest))
      fail(rest.take().place, {}, "more than one document", "a profile is one document: remove the second ---");
    return root;
  } catch (const YAML::Exception& e) {
    fail(builder.place(e.mark), {}, "not YAML: " + e.msg, "compare with the examples in agent-run-profile(5)");
  }
}

}  // namespace agentrun::profile
