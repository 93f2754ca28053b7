// Decisions on names and objects. Pure but for the looks that they say.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "broker/broker_context.h"
#include "broker/calls/call.h"

namespace agentrun::broker {

/// Judges `path` and notes it in the call. files.keep counts as if the file had been there before the run.
void judge(const Receiver& rx, Call& c, policy::Right right, const std::string& path);
/// Judges what stands there: files.keep counts for what was there before the run.
void judge(const Receiver& rx, Call& c, policy::Right right, const ParentAndName& target);
void judge(const Receiver& rx, Call& c, policy::Right right, const Object& object);
[[nodiscard]] policy::Verdict verdict_on(const Receiver& rx, policy::Right right, const ParentAndName& target,
                                         std::string& stands_for);
/// An object that the agent reached through a descriptor and that has no path in the view.
void judge_foreign(Call& c, const Object& object, std::uint64_t open_flags);

/// `verdict`, or the denial by a guarded name that the name or object stands for: then `stands_for` is that name.
template <typename Where>
policy::Verdict by_other_names(const Receiver& rx, policy::Verdict verdict, policy::Right right, const Where& where,
                               std::string& stands_for);
/// `verdict` on executing what is at the canonical path and open as `file`, or the denial by a name that may be
/// written.
policy::Verdict with_writable_names(const Receiver& rx, policy::Verdict verdict, const std::string& path,
                                    const Fd& file, std::string& stands_for);
/// A symbolic link must not come to stand at this path.
[[nodiscard]] std::optional<policy::ProtectedObjects::Denial> link_denial(const Receiver& rx, const std::string& path);

/// files.keep: was it there before the run?
[[nodiscard]] policy::Age age_at(const Receiver& rx, const ParentAndName& target);
[[nodiscard]] policy::Age age_at(const Receiver& rx, const Object& object);
/// What stands there, or the descriptor itself for ""; zeros: nothing.
policy::ProtectedObjects::Identity identity_at(int fd, const std::string& name);
/// When the file `name` in the directory, or the descriptor itself for "", came to be. A directory, or nothing: since.
policy::Age age_of(int fd, const std::string& name, std::int64_t began);
/// The same of a file `path` in the directory that `directory` gives: what says whose settings count in a repository of
/// git is as old as that, also when it is missing, or was written anew by the host meanwhile.
policy::Age age_in_repository(policy::Age age, const policy::ProtectedObjects& objects, std::string_view path,
                              const std::function<policy::ProtectedObjects::Identity()>& directory);

}  // namespace agentrun::broker
