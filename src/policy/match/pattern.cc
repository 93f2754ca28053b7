// Parses patterns: expands variables and braces, cuts into components.
#include "policy/match/pattern.h"

#include <algorithm>

#include <agentrun/profile/fail.h>
#include <agentrun/sys/glob.h>

namespace agentrun::policy {

namespace {

constexpr std::size_t max_alternatives = 64;
constexpr std::ptrdiff_t max_braces = 16;
constexpr std::size_t max_length = 4096;  // PATH_MAX

[[noreturn]] void fail(const Origin& origin, const std::string& message, const std::string& remedy) {
  profile::fail(origin.place, origin.key, message, remedy);
}

// Variables ----------------------------------------------------------------------------------------------------------
struct Named {
  std::string_view name;
  std::optional<std::string> Variables::*value;
};
constexpr Named names[] = {
    {"workspace", &Variables::workspace}, {"HOME", &Variables::home}, {"SSH_AUTH_SOCK", &Variables::ssh_auth_sock}};

const std::string& known(const std::optional<std::string>& value, std::string_view name, const Origin& origin) {
  if (!value)
    fail(origin, std::string(name) + " is not set", "set it in the environment of agent-run, or remove the rule");
  return *value;
}

const std::string& value_of(std::string_view name, const Variables& variables, const Origin& origin) {
  const auto* found = std::find_if(std::begin(names), std::end(names), [&](const Named& n) { return n.name == name; });
  if (found == std::end(names))
    fail(origin, "${" + std::string(name) + "} is not a variable",
         "there are ~, ${workspace}, ${HOME} and ${SSH_AUTH_SOCK}; in files.deny, protect and keep also ${writable}, "
         "${writable-home}, ${path}, ${git} and ${git-named}");
  return known(variables.*found->value, found->name, origin);
}

// A pattern is a literal path, from a variable, and a rest with globs in it. The rest is empty or begins with '/', but
// for a pattern that matches anywhere.
struct Split {
  std::string base, rest;
};

Split split_variable(const std::string& pattern, const Variables& variables, const Origin& origin) {
  if (pattern.starts_with("${")) {
    const std::size_t end = pattern.find('}');
    if (end == std::string::npos)
      fail(origin, "unmatched \"${\"", "there are ${workspace}, ${HOME} and ${SSH_AUTH_SOCK}");
    return {value_of(pattern.substr(2, end - 2), variables, origin), pattern.substr(end + 1)};
  }
  if (pattern.starts_with('~')) return {known(variables.home, "the home directory", origin), pattern.substr(1)};
  return {{}, pattern};
}

Split split(const std::string& pattern, const Variables& variables, const Origin& origin) {
  Split parts = split_variable(pattern, variables, origin);
  const bool anywhere = parts.base.empty() && (parts.rest == "**" || parts.rest.starts_with("**/"));
  if (!parts.base.empty() && !parts.rest.empty() && parts.rest.front() != '/')
    fail(origin, "only a slash can follow a variable", "write \"~/name\" or \"${workspace}/name\"");
  if (parts.base.empty() && !anywhere && !parts.rest.starts_with('/') && !parts.rest.starts_with('{'))
    fail(origin, "a relative path",
         "write \"${workspace}/" + pattern + "\", or \"**/" + pattern + "\" to match anywhere");
  if (parts.rest.find("${") != std::string::npos)
    fail(origin, "a variable that is not at the beginning",
         "begin the pattern with it; write $[{] for the characters themselves");
  return parts;
}

// Braces -------------------------------------------------------------------------------------------------------------
// The index of the next of `marks` outside of classes, or npos.
std::size_t find_outside_classes(std::string_view text, std::size_t from, std::string_view marks) {
  for (std::size_t i = from; i < text.size();) {
    if (text[i] == '[') {
      const std::size_t end = Glob::class_end(text, i);
      if (end == std::string_view::npos) return end;
      i = end;
    } else if (marks.find(text[i]) != std::string_view::npos) {
      return i;
    } else {
      ++i;
    }
  }
  return std::string_view::npos;
}

// The marks of the brace that opens at `open`: its commas, then its end.
std::vector<std::size_t> brace_marks(std::string_view text, std::size_t open, const Origin& origin) {
  std::vector<std::size_t> marks;
  int level = 1;
  for (std::size_t i = find_outside_classes(text, open + 1, "{},"); i != std::string_view::npos;
       i = find_outside_classes(text, i + 1, "{},")) {
    if (text[i] == '{') ++level;
    if (text[i] == '}') --level;
    if (level == 0 || (level == 1 && text[i] == ',')) marks.push_back(i);
    if (level == 0 && marks.size() > 1) return marks;
    if (level == 0) fail(origin, "a brace with one alternative", "write {a,b}, or [{] for the brace itself");
  }
  fail(origin, "unmatched \"{\"", "write {a,b}, or [{] for the brace itself");
}

void write_out(const std::string& text, const Origin& origin, std::vector<std::string>& into) {
  const std::size_t open = find_outside_classes(text, 0, "{}");
  if (open == std::string::npos) {
    if (into.size() >= max_alternatives) fail(origin, "more than 64 alternatives", "write several patterns");
    into.push_back(text);
    return;
  }
  if (text[open] == '}') fail(origin, "unmatched \"}\"", "write {a,b}, or [}] for the brace itself");
  const auto marks = brace_marks(text, open, origin);
  std::size_t begin = open + 1;
  for (const std::size_t mark : marks) {
    write_out(text.substr(0, open) + text.substr(begin, mark - begin) + text.substr(marks.back() + 1), origin, into);
    begin = mark + 1;
  }
}

// Components ---------------------------------------------------------------------------------------------------------
template <typename F>
void each_component(std::string_view path, F each) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) each(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
}

Component component(std::string_view text, const Origin& origin) {
  if (text == "**") return {.kind = Component::Kind::any, .text = {}};
  if (text == "." || text == "..") fail(origin, "\"" + std::string(text) + "\" in a path", "write the path without it");
  if (const auto wrong = Glob::fault(text)) fail(origin, *wrong, "see agent-run-profile(5), PATTERNS");
  if (text.find("**") != std::string_view::npos)
    fail(origin, "** is not alone between slashes", "write **/ or /**; * matches within one name");
  if (auto literal = Glob::literal(text)) {
    // "[.][.]" must not become a path that leads elsewhere.
    if (*literal == "." || *literal == "..") fail(origin, "\"..\" in a path", "write the path without it");
    return {.kind = Component::Kind::literal, .text = *std::move(literal)};
  }
  return {.kind = Component::Kind::glob, .text = std::string(text)};
}

PathPattern cut(const std::string& base, const std::string& rest, const Origin& origin) {
  PathPattern pattern = literal_pattern(base, Scope::self_and_below);
  if (base.empty() && !rest.starts_with('/') && rest != "**" && !rest.starts_with("**/"))
    fail(origin, "a relative path", "begin every alternative with /");
  each_component(rest, [&](std::string_view text) {
    Component next = component(text, origin);
    const bool repeated = next.kind == Component::Kind::any && !pattern.components.empty() &&
                          pattern.components.back().kind == Component::Kind::any;
    if (!repeated) pattern.components.push_back(std::move(next));
  });
  if (!pattern.components.empty() && pattern.components.back().kind == Component::Kind::any) {
    pattern.components.pop_back();
    pattern.scope = Scope::below;
  }
  return pattern;
}

std::size_t literal_count(const PathPattern& pattern) {
  const auto first = std::find_if(pattern.components.begin(), pattern.components.end(),
                                  [](const Component& c) { return c.kind != Component::Kind::literal; });
  return static_cast<std::size_t>(first - pattern.components.begin());
}

}  // namespace

PathPattern literal_pattern(std::string_view path, Scope scope) {
  PathPattern pattern{.components = {}, .scope = scope};
  each_component(path, [&](std::string_view name) { pattern.components.push_back({.text = std::string(name)}); });
  return pattern;
}

std::string PathPattern::literal_prefix() const {
  std::string path;
  for (std::size_t i = 0; i < literal_count(*this); ++i) path += "/" + components[i].text;
  return path.empty() ? "/" : path;
}

bool PathPattern::is_literal() const noexcept {
  return literal_count(*this) == components.size();
}

PathPattern PathPattern::with_prefix(const std::string& path) const {
  PathPattern other = literal_pattern(path, scope);
  other.components.insert(other.components.end(),
                          components.begin() + static_cast<std::ptrdiff_t>(literal_count(*this)), components.end());
  return other;
}

Meaning expand(const std::string& pattern, const Variables& variables, const Origin& origin) {
  if (pattern.empty()) fail(origin, "empty", "write a path or remove it");
  if (pattern.size() > max_length) fail(origin, "longer than any path", "write a shorter pattern");
  const Split parts = split(pattern, variables, origin);
  if (std::count(parts.rest.begin(), parts.rest.end(), '{') > max_braces)
    fail(origin, "more than 16 braces", "write several patterns");
  Meaning meaning{.text = (parts.base == "/" ? std::string{} : parts.base) + parts.rest, .alternatives = {}};
  while (meaning.text.size() > 1 && meaning.text.back() == '/') meaning.text.pop_back();
  if (meaning.text.empty()) meaning.text = "/";
  std::vector<std::string> alternatives;
  write_out(parts.rest, origin, alternatives);
  for (const std::string& rest : alternatives) meaning.alternatives.push_back(cut(parts.base, rest, origin));
  return meaning;
}

std::string expand_text(const std::string& text, const Variables& variables, const Origin& origin) {
  std::string expanded;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = std::min(text.find("${", at), text.size());
    expanded.append(text, at, open - at);
    if (open == text.size()) break;
    const std::size_t end = text.find('}', open);
    if (end == std::string::npos)
      fail(origin, "unmatched \"${\"", "there are ${workspace}, ${HOME} and ${SSH_AUTH_SOCK}");
    expanded += value_of(std::string_view(text).substr(open + 2, end - open - 2), variables, origin);
    at = end + 1;
  }
  return expanded;
}

}  // namespace agentrun::policy
