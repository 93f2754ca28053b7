// execve and execveat: judged and recorded here, carried out by the kernel under the floor.
#include <fcntl.h>
#include <sys/stat.h>

#include <climits>

#include "broker/exec/ld_so.h"
#include "broker/handler.h"

namespace agentrun::broker {

using policy::Act;
using policy::Right;

Reply Handler::execute(Case& c) {
  const Request& r = c.request;
  Object object;
  const int error =
      r.descriptor ? resolver_.descriptor(c.task, r.fd, object) : resolver_.object(c.task, r.name, r.follow, 0, object);
  if (error != 0) return refuse(c, Right::execute, error);
  // Whether it runs what it claims to could not be told: /proc/<pid>/exe would not be.
  if (object.path.size() >= PATH_MAX) return refuse(c, Right::execute, ENAMETOOLONG);
  if (S_ISLNK(object.mode)) return refuse(c, Right::execute, ELOOP);  // execveat with AT_SYMLINK_NOFOLLOW
  if (S_ISDIR(object.mode)) return refuse(c, Right::execute, EACCES);
  c.right = Right::execute;
  c.path = object.path;
  c.identity = {object.dev, object.ino};
  c.verdict = s_.policy.decide_execute(object.path, arguments_of(r.argv, !r.argv_cut));
  c.verdict = by_other_names(c.verdict, Right::execute, object, c.stands_for);
  c.verdict = with_writable_names(c.verdict, object.path, object.fd, c.stands_for);
  if (c.verdict.act == Act::allow && is_loader(object.path))
    c.verdict = judge_launched(c.task, r.argv, !r.argv_cut, nullptr);
  c.verdict = with_pins(c.verdict, object.path, [&] { return content_of(object); });
  const bool memory_file = object.links == 0 && object.path.starts_with("/memfd:");  // exec.memfd is about it
  if (!object.in_view && !memory_file) c.verdict = {.act = Act::deny, .by = policy::By::fallback, .rule = nullptr};
  if (const int denied = permit(c, "continue"); denied != 0) return Reply::error(denied);
  if (const int full = s_.claims.put(c.task, object.path, s_.host_proc); full != 0) return result(c, full);
  return Reply::proceed(FloorCovers{"Landlock EXECUTE, noexec mounts"});
}

}  // namespace agentrun::broker
