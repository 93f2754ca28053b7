// Builds /dev and /proc of the sandbox from descriptors.
#include "sandbox/mounts/devices.h"

#include <agentrun/sys/error.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include "sandbox/mounts/mounts.h"
#include "sandbox/restrict/resource_limits.h"

namespace agentrun::sandbox {

namespace {

constexpr unsigned proc_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr unsigned device_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;

// Files that uid 0 may write without any capability. When real root runs agent-run, uid 0 stays uid 0 inside.
constexpr const char* proc_read_only[] = {"acpi", "bus", "driver", "fs", "irq", "scsi", "sys", "sysrq-trigger", "tty"};
// Kernel memory, addresses, keys and timers of the whole host.
constexpr const char* proc_masked[] = {"allocinfo",     "asound",     "dynamic_debug", "kcore",      "keys",
                                       "key-users",     "kmsg",       "kpagecgroup",   "kpagecount", "kpageflags",
                                       "latency_stats", "mtrr",       "sched_debug",   "slabinfo",   "timer_list",
                                       "timer_stats",   "vmallocinfo"};

void bind_device(View& view, const std::string& directory, const Device& device) {
  const std::string host_path = std::string("/dev/").append(device.name);
  const std::string path = directory + "/" + std::string(device.name);
  const Fd node = view.open_host(host_path, O_PATH);
  struct stat st {};
  check(::fstat(node.get(), &st), "fstat", host_path);
  if (!S_ISCHR(st.st_mode) || st.st_rdev != ::makedev(device.major, device.minor))
    throw SysError(ENODEV, "compare device", host_path);
  const Fd mount = clone_tree(node, host_path);
  restrict_mount(mount, device_attributes, Reach::whole_tree, path);
  view.attach(mount, view.mount_point(path, View::Point::file), path, device_attributes);
}

bool is_there(const Fd& proc, const char* name) {
  return ::faccessat(proc.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void mount_read_only(View& view, const std::string& path) {
  const Fd place = view.open(path, O_PATH);
  const Fd mount = clone_tree(place, path);
  restrict_mount(mount, proc_attributes | MOUNT_ATTR_RDONLY, Reach::whole_tree, path);
  view.attach(mount, place, path, proc_attributes | MOUNT_ATTR_RDONLY);
}

}  // namespace

void make_dev(View& view, const MountStep& step) {
  constexpr unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  Fd dev = new_filesystem("tmpfs", {{"mode", "0755"}}, attributes);
  view.own(dev);
  view.attach(dev, view.mount_point(step.target, View::Point::directory), step.target, attributes | MOUNT_ATTR_RDONLY);
  view.hold_mask_sources(dev);
  for (const DevLink& link : dev_links)
    check(::symlinkat(std::string(link.text).c_str(), dev.get(), std::string(link.name).c_str()), "symlinkat", "/dev");
  for (const Device& device : devices) bind_device(view, step.target, device);

  const std::string shm = step.target + "/shm";
  view.attach_scratch(shm, 01777, attributes);

  const std::string pts = step.target + "/pts";
  const Fd terminals = new_filesystem("devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}}, device_attributes);
  view.attach(terminals, view.mount_point(pts, View::Point::directory), pts, device_attributes);
  view.finish_read_only(std::move(dev), step.target);
}

void make_proc(View& view, const MountStep& step) {
  const Fd proc = new_filesystem("proc", {}, proc_attributes);
  set_kernel_limits(proc);
  if (step.no_exec) make_memory_files_data(proc);
  view.attach(proc, view.mount_point(step.target, View::Point::directory), step.target, proc_attributes);
  for (const char* name : proc_read_only)
    if (is_there(proc, name)) mount_read_only(view, step.target + "/" + name);
  for (const char* name : proc_masked)
    if (is_there(proc, name)) view.mask_place(step.target + "/" + name);
}

}  // namespace agentrun::sandbox
