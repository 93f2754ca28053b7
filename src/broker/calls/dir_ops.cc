// unlink, rename, link, symlink, mkdir, mknod: changes of a folder, on its pinned descriptor and the last component.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

#include <linux/fs.h>

#include <agentrun/sys/file_tree.h>
#include "broker/handler.h"

namespace agentrun::broker {

using policy::Act;
using policy::Right;

namespace {

int errno_of(int result) {
  return result == 0 ? 0 : errno;
}

// The kind of what stands there, links not followed; 0: nothing.
mode_t kind_of(const Slot& slot) {
  struct stat st {};
  std::string name = slot.name;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  return ::fstatat(slot.parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode & S_IFMT : 0;
}

constexpr std::size_t largest_settings = 64 * 1024;

// What a regular file of at most 64 KiB holds; nothing for anything else.
std::optional<std::string> content_of(const Slot& slot) {
  const Fd fd(
      ::openat(slot.parent.get(), slot.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  std::string text(largest_settings + 1, '\0');
  const ssize_t size = ::pread(fd.get(), text.data(), text.size(), 0);
  if (size < 0 || static_cast<std::size_t>(size) > largest_settings) return std::nullopt;
  text.resize(static_cast<std::size_t>(size));
  return text;
}

bool same_content(const Slot& a, const Slot& b) {
  const auto text = content_of(a);
  return text && text == content_of(b);
}

}  // namespace

bool stands_for_folder(const Slot& slot) {
  std::string_view name = slot.name;
  while (name.size() > 1 && name.ends_with('/')) name.remove_suffix(1);
  return name.empty() || name == "/" || name == "." || name == "..";
}

int Handler::slot_for(Case& c, Slot& slot) {
  const int error = resolver_.slot(c.task, c.request.name, 0, slot);
  if (error == 0) judge(c, Right::change, slot);
  return error;
}

// The case's verdict becomes the stricter of both names; its path is then the name that is denied.
void Handler::judge_second(Case& c, const Slot& slot) const {
  std::string stands_for;
  const policy::Verdict verdict = verdict_on(Right::change, slot, stands_for);
  c.to = slot.path;
  if (c.verdict.act != Act::allow || verdict.act == Act::allow) return;
  c.verdict = verdict;
  c.stands_for = std::move(stands_for);
  std::swap(c.path, c.to);
}

// A symbolic link that comes to stand at `path`: not where it would stand in for a folder on the way to a guarded path.
void Handler::judge_link(Case& c, const std::string& path) const {
  if (c.verdict.act != Act::allow) return;
  if (auto denial = link_denial(path)) {
    c.path = path;
    c.verdict = denial->verdict;
    c.stands_for = std::move(denial->name);
  }
}

int Handler::second_slot(Case& c, Slot& slot) {
  const int error = resolver_.slot(c.task, c.request.name2, 0, slot);
  if (error == 0) judge_second(c, slot);
  return error;
}

Reply Handler::unlink(Case& c) {
  const std::shared_lock lock(s_.tree);
  Slot slot;
  if (const int error = slot_for(c, slot); error != 0) return refuse(c, Right::change, error);
  const int flags = c.request.row->name == "rmdir" ? AT_REMOVEDIR : static_cast<int>(c.request.flags);
  // What is not there cannot be denied: programs remove what may be left over and expect ENOENT.
  if (kind_of(slot) == 0 && errno == ENOENT) return refuse(c, Right::change, ENOENT);
  if (const int error = permit(c, "emulated"); error != 0) return Reply::error(error);
  return result(c, errno_of(::unlinkat(slot.parent.get(), slot.name.c_str(), flags)));
}

Reply Handler::rename(Case& c) {
  constexpr unsigned exchange = RENAME_EXCHANGE;
  // Alone, since whether a folder moves is only known once nothing else can: renames are rare and short.
  const std::unique_lock lock(s_.tree);
  Slot from, to;
  if (const int error = slot_for(c, from); error != 0) return refuse(c, Right::change, error);
  const bool whiteout = (c.request.flags & (RENAME_WHITEOUT | RENAME_EXCHANGE)) == RENAME_WHITEOUT;
  if (whiteout && !keeps_whiteouts()) return refuse(c, Right::change, EPERM);  // as mknod of one
  const policy::Verdict first = c.verdict;
  if (const int error = second_slot(c, to); error != 0) return refuse(c, Right::change, error);
  // git writes its settings anew also when nothing in them changes (git submodule update). The file that is kept stays;
  // what should have replaced it goes, since the agent may hold it open. Only what it may read, or this would tell
  // content.
  const bool keeps = c.verdict.rule != nullptr && c.verdict.rule->keeps;
  const bool readable = keeps && s_.policy.decide(Right::read, to.path).act == Act::allow;
  if (first.act == Act::allow && readable && c.request.flags == 0 && same_content(from, to)) {
    c.path = from.path;
    c.to = to.path;
    c.verdict = first;
    c.stands_for.clear();
    if (const int error = permit(c, "same"); error != 0) return Reply::error(error);
    return result(c, errno_of(::unlinkat(from.parent.get(), from.name.c_str(), 0)));
  }
  std::string guarded;
  policy::ProtectedObjects::Denial denial;
  const auto scan = [&](const Slot& moved, const Slot& place) {
    if (kind_of(moved) != S_IFDIR || stands_for_folder(moved)) return 0;  // the kernel moves no "." (EBUSY)
    // A mount's other names would be others: programs copy then.
    if (s_.policy.denied_objects().mounts().holds(moved.path)) return EXDEV;
    const bool folds = directory_folds(moved.parent.get()) || directory_folds(place.parent.get());
    const ScanRules rules{.policy = s_.policy,
                          .objects = s_.guards.found(),
                          .began = s_.began,
                          .folded = folds ? &s_.policy.denied_objects().folded() : nullptr,
                          .repositories = &c.repositories};
    const auto guards = [&](const std::string& path) {
      return rules.policy.may_guard_below(path) || rules.objects.may_guard_below(rules.policy, path) ||
             (folds && rules.folded->may_guard_below(path));
    };
    if (!guards(moved.path) && !guards(place.path)) return 0;
    return scan_guarded(rules, moved.parent, moved.name, moved.path, place.path, guarded, denial);
  };
  if (c.verdict.act == Act::allow) {
    int error = scan(from, to);
    if (error == 0 && (c.request.flags & exchange) != 0) error = scan(to, from);
    if (error != 0 && error != EACCES) return refuse(c, Right::change, error);
    if (error == EACCES) {
      c.path = guarded;
      c.verdict = denial.verdict;
      c.stands_for = denial.name;
    }
    if (kind_of(from) == S_IFLNK) judge_link(c, to.path);
    if ((c.request.flags & exchange) != 0 && kind_of(to) == S_IFLNK) judge_link(c, from.path);
  }
  if (c.request.flags == 0 && kind_of(from) == S_IFREG && is_mounted_file(to) && !is_mounted_file(from)) {
    if (const int error = permit(c, "in-place"); error != 0) return Reply::error(error);
    return result(c, replace_content(c.task, from, to));
  }
  if (const int error = permit(c, "emulated"); error != 0) return Reply::error(error);
  return result(c, errno_of(static_cast<int>(::syscall(SYS_renameat2, from.parent.get(), from.name.c_str(),
                                                       to.parent.get(), to.name.c_str(), c.request.flags))));
}

// What is guarded in a workspace gets no second name in any directory: in a run that starts there it would be one of
// the guarded file.
const policy::Rule* Handler::second_name_rule(const std::string& from, const std::string& to) const {
  const policy::Rule* const rule = s_.policy.guards_as_workspace(from);
  return rule != nullptr ? rule : s_.policy.guards_as_workspace(to);
}

// As between two file systems: programs copy then.
Reply Handler::refuse_link(Case& c, const policy::Rule& rule) {
  c.verdict = {.act = Act::deny, .by = policy::By::rule, .rule = &rule};
  c.error = EXDEV;
  c.cause = Case::Cause::walk;
  c.effect = "errno";
  return Reply::error(s_.recorder.decision(c) ? EXDEV : EIO);
}

Reply Handler::link(Case& c) {
  const std::shared_lock lock(s_.tree);
  Object object;
  const int found = c.request.descriptor ? resolver_.descriptor(c.task, c.request.fd, object)
                                         : resolver_.object(c.task, c.request.name, c.request.follow, 0, object);
  if (found != 0) return refuse(c, Right::change, found);
  if (!object.in_view) return refuse(c, Right::change, EXDEV);
  Slot to;
  judge(c, Right::change, object);
  c.identity = {object.dev, object.ino};
  if (const int error = second_slot(c, to); error != 0) return refuse(c, Right::change, error);
  if (S_ISLNK(object.mode)) judge_link(c, to.path);
  if (const policy::Rule* rule = c.verdict.act == Act::allow ? second_name_rule(object.path, to.path) : nullptr)
    return refuse_link(c, *rule);
  if (!Resolver::on_mount(to.parent, object.mount)) return refuse(c, Right::change, EXDEV);
  if (const int error = permit(c, "emulated"); error != 0) return Reply::error(error);
  return result(c, errno_of(::linkat(s_.host_proc, self_fd(object).c_str(), to.parent.get(), to.name.c_str(),
                                     AT_SYMLINK_FOLLOW)));
}

Reply Handler::symlink(Case& c) {
  const std::shared_lock lock(s_.tree);
  Slot slot;
  if (const int error = slot_for(c, slot); error != 0) return refuse(c, Right::change, error);
  c.to_req = c.request.text;
  judge_link(c, slot.path);
  if (const int error = permit(c, "emulated"); error != 0) return Reply::error(error);
  return result(c, errno_of(::symlinkat(c.request.text.c_str(), slot.parent.get(), slot.name.c_str())));
}

Reply Handler::mkdir(Case& c) {
  const std::shared_lock lock(s_.tree);
  Slot slot;
  if (const int error = slot_for(c, slot); error != 0) return refuse(c, Right::change, error);
  // `mkdir -p` walks down from the root: what exists is EEXIST, also where nothing may be made.
  if (::faccessat(slot.parent.get(), slot.name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return refuse(c, Right::change, EEXIST);
  const auto mask = Tasks::umask_of(c.task);
  if (!mask) return refuse(c, Right::change, without_umask(c));
  if (const int error = permit(c, "emulated"); error != 0) return Reply::error(error);
  ::umask(*mask);
  return result(c, errno_of(::mkdirat(slot.parent.get(), slot.name.c_str(), c.request.mode)));
}

Reply Handler::mknod(Case& c) {
  const std::shared_lock lock(s_.tree);
  Slot slot;
  if (const int error = slot_for(c, slot); error != 0) return refuse(c, Right::change, error);
  // The one device that the kernel lets everybody make hides a file of a lower layer (a whiteout): here as every other
  // device.
  if (S_ISCHR(c.request.mode) && !keeps_whiteouts())
    return refuse(c, Right::change, kind_of(slot) == 0 ? EPERM : EEXIST);
  const auto mask = Tasks::umask_of(c.task);
  if (!mask) return refuse(c, Right::change, without_umask(c));
  const mode_t mode = mode_for_file(c.request.mode);
  if (const int error = permit(c, mode == c.request.mode ? "emulated" : "masked"); error != 0)
    return Reply::error(error);
  ::umask(*mask);
  return result(c, errno_of(::mknodat(slot.parent.get(), slot.name.c_str(), mode, c.request.device)));
}

}  // namespace agentrun::broker
