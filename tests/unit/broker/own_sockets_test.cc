// A socket is the agent's own by its inode, which is held: not by its name, its age, or a number that is used again.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "broker/net/own_sockets.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

class Folder {
 public:
  Folder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] Object make(const std::string& name, mode_t kind = S_IFSOCK) const {
    REQUIRE(::mknod((path_ + "/" + name).c_str(), kind | 0600, 0) == 0);
    return find(name);
  }
  [[nodiscard]] Object find(const std::string& name) const {
    Object object;
    object.fd.reset(::open((path_ + "/" + name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct statx st {};
    REQUIRE(::statx(object.fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) == 0);
    object.dev = makedev(st.stx_dev_major, st.stx_dev_minor);
    object.ino = st.stx_ino;
    object.mount = st.stx_mnt_id;
    return object;
  }
  void rename(const std::string& from, const std::string& to) const {
    std::filesystem::rename(path_ + "/" + from, path_ + "/" + to);
  }
  void remove(const std::string& name) const { std::filesystem::remove(path_ + "/" + name); }

 private:
  std::string path_ = "/tmp/own-sockets-XXXXXX";
};

Fd copy(const Object& object) {
  return Fd(::fcntl(object.fd.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

TEST_CASE("own sockets: only sockets that were added, by any name, and no other kind of file") {
  const Folder folder;
  OwnSockets own({});
  const Object mine = folder.make("mine"), other = folder.make("other"), file = folder.make("file", S_IFREG);
  own.add(copy(mine));
  own.add(copy(file));
  own.add(Fd());
  folder.rename("mine", "moved");
  CHECK(own.contains(folder.find("moved")));
  CHECK_FALSE(own.contains(other));
  CHECK_FALSE(own.contains(file));
}

TEST_CASE("own sockets: an inode number is not reused while it is remembered") {
  const Folder folder;
  OwnSockets own({});
  Object mine = folder.make("mine");
  own.add(std::move(mine.fd));
  folder.remove("mine");
  for (int i = 0; i < 50; ++i) {
    CHECK_FALSE(own.contains(folder.make("next")));
    folder.remove("next");
  }
}

TEST_CASE("own sockets: a full set drops unlinked ones first, then the least recently used") {
  const Folder folder;
  OwnSockets own({}, 3);
  const Object a = folder.make("a"), b = folder.make("b"), c = folder.make("c"), d = folder.make("d"),
               e = folder.make("e");
  own.add(copy(a));
  own.add(copy(b));
  own.add(copy(c));
  folder.remove("b");
  own.add(copy(d));
  CHECK_FALSE(own.contains(b));
  CHECK(own.contains(c));
  CHECK(own.contains(a));
  own.add(copy(e));
  CHECK_FALSE(own.contains(d));
  CHECK(own.contains(a));
  CHECK(own.contains(c));
  CHECK(own.contains(e));
}

TEST_CASE("own sockets: all on a scratch mount") {
  const Folder folder;
  const Object socket = folder.make("any");
  CHECK(OwnSockets({socket.mount}).contains(socket));
  CHECK_FALSE(OwnSockets({socket.mount + 1}).contains(socket));
}
