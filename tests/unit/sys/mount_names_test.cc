// The names that mounts give to one object, from mountinfo as proc_pid_mountinfo(5) has it.
#include <agentrun/sys/mount_names.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using agentrun::MountNames;

namespace {

constexpr const char* root = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
using Names = std::vector<std::string>;

Names sorted(Names names) {
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_CASE("a bind mount gives its files a second name, both ways") {
  const MountNames names(std::string(root) + "30 20 8:1 /home/u/real /home/u/alias rw - ext4 /dev/sda1 rw\n");
  CHECK(names.others("/home/u/alias") == Names{"/home/u/real"});
  CHECK(names.others("/home/u/alias/a/b") == Names{"/home/u/real/a/b"});
  CHECK(names.others("/home/u/real/a") == Names{"/home/u/alias/a"});
  CHECK(names.others("/home/u/realm").empty());
  CHECK(names.others("/home/u").empty());
  CHECK(names.with_parts("/home/u/real") == Names{"/home/u/real", "/home/u/alias"});
  CHECK(names.with_parts("/home/u") == Names{"/home/u", "/home/u/real", "/home/u/alias"});
  CHECK(names.holds("/home/u"));
  CHECK(names.holds("/home/u/real"));
  CHECK_FALSE(names.holds("/home/u/real/a"));
}

TEST_CASE("mounts of different trees, or of a tree on itself, give no second name") {
  CHECK(MountNames(root).empty());
  CHECK(MountNames("").empty());
  CHECK(MountNames("nonsense\n1 2\n").empty());
  // /nix/store onto itself; a container's files; another device; another part of an export.
  CHECK(MountNames(std::string(root) + "30 20 8:1 /nix/store /nix/store ro - ext4 /dev/sda1 rw\n").empty());
  CHECK(MountNames("20 1 0:50 / / rw - overlay overlay rw\n30 20 8:1 /c/1/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n31 "
                   "20 8:1 /c/1/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n")
            .empty());
  CHECK(MountNames(std::string(root) + "30 20 8:2 /home/u /mnt rw - ext4 /dev/sdb1 rw\n").empty());
  CHECK(MountNames("20 1 0:9 / /a rw - nfs4 server:/a rw\n21 1 0:9 / /b rw - nfs4 server:/b rw\n").empty());
  CHECK_FALSE(MountNames("20 1 0:9 / /a rw - nfs4 server:/a rw\n21 1 0:9 / /b rw - nfs4 server:/a rw\n").empty());
  // What is unlinked has no name, and namespaces have no paths.
  CHECK(
      MountNames(std::string(root) +
                 "30 20 8:1 /home/u//deleted /mnt rw - ext4 /dev/sda1 rw\n31 20 0:4 net:[1] /run/n rw - nsfs nsfs rw\n")
          .empty());
}

TEST_CASE("a covered mount has no names") {
  const std::string alias = "30 20 8:1 /home/u/real /mnt/alias rw - ext4 /dev/sda1 rw\n";
  CHECK(MountNames(root + alias + "31 20 0:7 / /mnt rw - tmpfs tmpfs rw\n").others("/mnt/alias/a").empty());
  CHECK(MountNames(root + alias + "31 20 0:7 / /mnt rw - tmpfs tmpfs rw\n").others("/home/u/real/a").empty());
  CHECK(MountNames(root + alias + "31 30 0:7 / /mnt/alias rw - tmpfs tmpfs rw\n").empty());
  // Of one place the last mounted counts; below it another file system stands before a part.
  const MountNames part(root + alias + "31 20 0:7 / /home/u/real/a rw - tmpfs tmpfs rw\n");
  CHECK(part.others("/mnt/alias/b") == Names{"/home/u/real/b"});
  CHECK(part.others("/mnt/alias/a/c").empty());
  CHECK(part.others("/home/u/real/a/c").empty());
}

TEST_CASE("several mounts of one tree, and subvolumes") {
  const MountNames names(
      std::string("20 1 0:30 /@ / rw - btrfs /dev/sda1 rw\n21 20 0:30 /@home /home rw - btrfs /dev/sda1 rw\n") +
      "22 20 0:30 / /mnt/top rw - btrfs /dev/sda1 rw\n23 21 0:30 /@home/u/work /home/u/two\\040words rw - btrfs "
      "/dev/sda1 rw\n");
  CHECK(sorted(names.others("/home/u/work/a")) == Names{"/home/u/two words/a", "/mnt/top/@home/u/work/a"});
  CHECK(sorted(names.others("/home/u/two words/a")) == Names{"/home/u/work/a", "/mnt/top/@home/u/work/a"});
  CHECK(sorted(names.others("/mnt/top/@home/u/work/a")) == Names{"/home/u/two words/a", "/home/u/work/a"});
  CHECK(names.others("/etc/passwd") == Names{"/mnt/top/@/etc/passwd"});
  CHECK(names.others("/mnt/top/@/etc/passwd") == Names{"/etc/passwd"});
  CHECK(names.others("/mnt/top/else").empty());
}
