#include "broker/handler.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include <agentrun/sys/error.h>
#include <agentrun/sys/paths.h>
#include <agentrun/sys/process.h>
#include "broker/notify/memory.h"

namespace agentrun::broker {

using policy::Act;
using policy::Right;

void Handler::handle(const seccomp_notif& notification) noexcept {
  Reply reply = Reply::error(EIO);
  try {
    reply = answer(notification);
  } catch (const std::bad_alloc&) {
    reply = Reply::error(ENOMEM);
  } catch (const SysError& e) {
    reply = Reply::error(e.error() == EBUSY ? EBUSY : EIO);  // EBUSY: of TreeLock, before anything was done
  } catch (const std::exception&) {
    reply = Reply::error(EIO);
  }
  s_.listener.send(notification.id, std::move(reply));
}

Reply Handler::answer(const seccomp_notif& notification) {
  const std::int64_t started = boot_clock_ns();
  if (s_.recorder.failed()) return Reply::error(EIO);
  const filter::Row* row = filter::find(notification.data.nr);
  if (row == nullptr || row->operation == filter::Operation::none) return Reply::error(ENOSYS);
  Task* task = tasks_.find(static_cast<pid_t>(notification.pid));
  if (task == nullptr) return Reply::gone(s_.listener, notification.id, EAGAIN);
  if (const int error = verify_image(task, notification.id); error != 0) {
    return error == ESRCH ? Reply::gone(s_.listener, notification.id, EAGAIN) : Reply::error(error);
  }

  Request request;
  const TaskMemory memory(task->tid);
  const int error = decode(notification, *row, memory, request);
  if (!s_.listener.valid(notification.id)) return Reply::gone(s_.listener, notification.id, ESRCH);
  Case c{.request = request,
         .task = *task,
         .started = started,
         .path_req = request.name.path,
         .to_req = request.name2.path};
  if (error != 0)
    return refuse(c, row->operation == filter::Operation::execute ? Right::execute : Right::change, error);
  if (auto reply = open_launched(*task, c)) return std::move(*reply);
  return dispatch(request, *task, c);
}

Reply Handler::dispatch(const Request& request, const Task&, Case& c) {
  using filter::Operation;
  switch (request.row->operation) {
    case Operation::open:
    case Operation::openat2:
      return open(c);
    case Operation::unlink:
      return unlink(c);
    case Operation::rename:
      return rename(c);
    case Operation::link:
      return link(c);
    case Operation::symlink:
      return symlink(c);
    case Operation::mkdir:
      return mkdir(c);
    case Operation::mknod:
      return mknod(c);
    case Operation::chmod:
    case Operation::chown:
    case Operation::truncate:
    case Operation::utimes:
    case Operation::setxattr:
    case Operation::removexattr:
    case Operation::fchmod:
    case Operation::fchown:
    case Operation::fsetxattr:
    case Operation::fremovexattr:
      return attribute(c);
    case Operation::lease:
      return lease(c);
    case Operation::execute:
      return execute(c);
    case Operation::connect:
      return connect(c);
    case Operation::bind:
      return bind(c);
    case Operation::none:
      break;
  }
  return Reply::error(ENOSYS);
}

void Handler::judge(Case& c, Right right, const std::string& path) const {
  c.right = right;
  c.path = path;
  c.stands_for.clear();
  c.verdict = s_.policy.decide(right, path);
}

policy::ProtectedObjects::Identity identity_at(int fd, const std::string& name) {
  struct stat st {};
  if (::fstatat(fd, name.c_str(), &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return {};
  return {.dev = st.st_dev, .ino = st.st_ino};
}

// Birth where the file system keeps it, else the last change of the inode: the agent cannot change what is kept, so
// that stays old too.
policy::Age age_of(int fd, const std::string& name, std::int64_t began) {
  std::string_view bare = name;
  while (bare.size() > 1 && bare.ends_with('/')) bare.remove_suffix(1);
  struct statx st {};
  if (::statx(fd, std::string(bare).c_str(), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
              &st) != 0) {
    return errno == ENOENT ? policy::Age::since : policy::Age::before;
  }
  if (S_ISDIR(st.stx_mode)) return policy::Age::since;
  const statx_timestamp& time = (st.stx_mask & STATX_BTIME) != 0 ? st.stx_btime : st.stx_ctime;
  return time.tv_sec * 1'000'000'000 + time.tv_nsec < began ? policy::Age::before : policy::Age::since;
}

policy::Age age_in_repository(policy::Age age, const policy::ProtectedObjects& objects, std::string_view path,
                              const std::function<policy::ProtectedObjects::Identity()>& directory) {
  const std::string_view name = name_of(path);
  if (age == policy::Age::before || (name != "config" && name != "config.worktree" && name != "commondir")) return age;
  if (objects.is_absent_repository(parent_of(path))) return policy::Age::before;
  const policy::ProtectedObjects::Identity identity = directory();
  const bool known = identity.ino != 0;  // else it may be any
  return !known || objects.is_repository(identity) ? policy::Age::before : age;
}

policy::Age Handler::age_at(const Slot& slot) const {
  const policy::Age age = age_of(slot.parent.get(), slot.name, s_.began);
  if (!s_.guards.concern(slot.path)) return age;
  return age_in_repository(age, s_.guards.found(), slot.path, [&] { return identity_at(slot.parent.get(), ""); });
}

// Its directory cannot have been exchanged since it was opened: nothing that holds such a file moves (scan.cc).
policy::Age Handler::age_at(const Object& object) const {
  const policy::Age age = age_of(object.fd.get(), "", s_.began);
  if (!s_.guards.concern(object.path)) return age;
  return age_in_repository(age, s_.guards.found(), object.path,
                           [&] { return identity_at(s_.host_proc, std::string(parent_of(object.path))); });
}

policy::Verdict Handler::verdict_on(Right right, const Slot& slot, std::string& stands_for) const {
  policy::Verdict verdict = s_.policy.decide(right, slot.path);
  if (verdict.rule != nullptr && verdict.rule->keeps) verdict = s_.policy.decide(right, slot.path, age_at(slot));
  return by_other_names(verdict, right, slot, stands_for);
}

void Handler::judge(Case& c, Right right, const Slot& slot) const {
  c.right = right;
  c.path = slot.path;
  c.stands_for.clear();
  c.verdict = verdict_on(right, slot, c.stands_for);
}

void Handler::judge(Case& c, Right right, const Object& object) const {
  judge(c, right, object.path);
  if (c.verdict.rule != nullptr && c.verdict.rule->keeps)
    c.verdict = s_.policy.decide(right, object.path, age_at(object));
  c.verdict = by_other_names(c.verdict, right, object, c.stands_for);
}

void Handler::judge_foreign(Case& c, const Object& object, std::uint64_t open_flags) const {
  // O_TRUNC writes whatever the access mode says (open(2)).
  const bool reads_only = (open_flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY;
  c.right = reads_only ? Right::read : Right::change;
  c.path = object.path;
  c.verdict = policy::Verdict{.act = Act::deny, .by = policy::By::fallback, .rule = nullptr};
  // A pipe, socket or memory file is the agent's own. A file of the host that was handed in as 0, 1 or 2 may be opened
  // anew as far as that descriptor already goes (> /dev/stderr), and no further.
  const bool anonymous = !object.path.starts_with('/') || (object.links == 0 && object.path.starts_with("/memfd:"));
  // A descriptor that was opened with O_PATH goes nowhere, though its access mode reads as O_RDONLY.
  const int held =
      object.descriptor_flags >= 0 && (object.descriptor_flags & O_PATH) != 0 ? -1 : object.descriptor_flags;
  const std::uint64_t mode = open_flags & O_ACCMODE;
  const std::uint64_t wanted = mode == O_RDONLY && !reads_only ? O_RDWR : mode;
  const bool covered =
      held >= 0 && (static_cast<std::uint64_t>(held & O_ACCMODE) == wanted || (held & O_ACCMODE) == O_RDWR);
  if (anonymous || covered) c.verdict.act = Act::allow;
}

int Handler::permit(Case& c, std::string_view effect) {
  const bool allowed = c.verdict.act == Act::allow;
  if (!allowed) c.error = EACCES;
  c.effect = allowed ? effect : "errno";
  if (!s_.recorder.decision(c)) return EIO;
  return allowed ? 0 : EACCES;
}

Reply Handler::refuse(Case& c, Right right, int error) {
  if (error == ESRCH && !s_.listener.valid(c.request.id)) return Reply::gone(s_.listener, c.request.id, error);
  c.right = right;
  if (!c.request.name.path.empty()) {
    const auto path = resolver_.lexical(c.task, c.request.name);
    judge(c, right, path ? *path : c.request.name.path);
    // The walk failed, not the rule: whether the file is one to keep was never asked.
    if (c.verdict.rule != nullptr && c.verdict.rule->keeps)
      c.verdict = s_.policy.decide(right, c.path, policy::Age::since);
  }
  c.error = error;
  c.effect = "errno";
  c.cause = Case::Cause::walk;
  return Reply::error(s_.recorder.decision(c) ? error : EIO);
}

Reply Handler::deferred(Case& c, const Deferral& deferral) {
  return deferral.taken() ? Reply::deferred(deferral) : result(c, deferral.error());
}

int Handler::without_umask(const Case& c) const {
  return s_.listener.valid(c.request.id) ? EIO : ESRCH;
}

Reply Handler::result(Case& c, int error) {
  if (error == 0) return Reply::value(0);
  return Reply::error(s_.recorder.outcome(c, error) ? error : EIO);
}

}  // namespace agentrun::broker
