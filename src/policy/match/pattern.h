// A pattern as written → what it means: variables expanded, braces written out, cut into components.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <agentrun/profile.h>

namespace agentrun::policy {

struct Component {
  enum class Kind : std::uint8_t { literal, glob, any };  // any: `**`, any number of components
  Kind kind = Kind::literal;
  std::string text;  // the bytes of a literal, the source of a glob
  friend bool operator==(const Component&, const Component&) = default;
};

/// What of a match a rule speaks of.
enum class Scope : std::uint8_t { self, below, self_and_below };

/// One pattern without braces. A trailing `**` is the scope `below`, so the last component is never `any`.
struct PathPattern {
  std::vector<Component> components;
  Scope scope = Scope::self_and_below;

  /// The literal components that it begins with, as a path; "/" when there are none.
  [[nodiscard]] std::string literal_prefix() const;
  /// Whether that prefix is all of it.
  [[nodiscard]] bool is_literal() const noexcept;
  /// The same pattern with another path in place of its literal prefix.
  [[nodiscard]] PathPattern with_prefix(const std::string& path) const;
};

/// A pattern that is a path.
PathPattern literal_pattern(std::string_view path, Scope scope);

struct Meaning {
  std::string text;  // one line: the pattern with its variable expanded
  std::vector<PathPattern> alternatives;
  std::vector<PathPattern> unshown = {};  // of names on the host that no grant lets be changed
};

/// What the variables of the language stand for. nullopt: not known here, and a pattern that names it is refused.
struct Variables {
  std::optional<std::string> home, workspace, ssh_auth_sock;
};

/// Where a pattern stands, for errors.
struct Origin {
  profile::Place place;
  std::string key;  // "files.read[0]"
};

/// Throws ProfileError: relative, ".", "..", an unknown variable, a malformed glob, more than 64 alternatives.
Meaning expand(const std::string& pattern, const Variables& variables, const Origin& origin);

/// Text that is not a pattern: every `${…}` in it is replaced. Throws ProfileError for an unknown variable.
std::string expand_text(const std::string& text, const Variables& variables, const Origin& origin);

}  // namespace agentrun::policy
