// Whole calls with a log that writes nothing: each is recorded before it is performed, not performed when it cannot be
// recorded, and answered when the caller's umask cannot be read.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <agentrun/sys/error.h>
#include "broker/notify/memory.h"
#include "broker/receiver.h"
#include "tests/unit/broker/scratch_broker.h"

using namespace agentrun;
using namespace agentrun::broker;

namespace {

using Arguments = std::array<std::uint64_t, 6>;

std::uint64_t word(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// What calls may change: names, attributes and contents in the directory, temporary files that are open, leases, peers
// of sockets.
class World {
 public:
  World() : broker(caller.listener()) {
    broker.write("file", "content");
    broker.write("other", "other content");
    CHECK(::mkdir(broker.path("directory").c_str(), 0700) == 0);
    file_.reset(check(::open(broker.path("file").c_str(), O_RDONLY | O_CLOEXEC), "open", "file"));
    socket_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    listening_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    abstract_.sun_path[0] = '\0';
    const std::string name = "agent-run-test-" + std::to_string(::getpid());
    name.copy(abstract_.sun_path + 1, name.size());
    abstract_size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    check(::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&abstract_), abstract_size), "bind");
    check(::listen(listening_.get(), 1), "listen");
    const std::string bound = broker.path("socket");
    bound.copy(unix_.sun_path, bound.size());
    unix_size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bound.size() + 1);
  }

  [[nodiscard]] std::string seen() const {
    std::string text;
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(broker.path(""))) names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    for (const std::string& path : names) {
      struct stat st {};
      check(::lstat(path.c_str(), &st), "lstat", path);
      for (const std::uint64_t value :
           {std::uint64_t{st.st_mode}, std::uint64_t{st.st_nlink}, std::uint64_t{st.st_uid}, std::uint64_t{st.st_ino},
            static_cast<std::uint64_t>(st.st_size), static_cast<std::uint64_t>(st.st_mtim.tv_sec)})
        text += std::to_string(value) + " ";
      std::array<char, 1024> attributes{};
      const ssize_t size = ::llistxattr(path.c_str(), attributes.data(), attributes.size());
      text += path + " " + std::string(attributes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
      if (S_ISREG(st.st_mode)) text += broker.text(path.substr(path.rfind('/') + 1));
      text += "\n";
    }
    text += "temporary files: " + std::to_string(temporary_files());
    text += " lease: " + std::to_string(::fcntl(file_.get(), F_GETLEASE));
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    text += ::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0 ? " connected" : " alone";
    return text;
  }

  Reply answer(int nr, const Arguments& arguments, Task& task, std::function<void()> at_decision = {}) {
    seccomp_notif n{};
    n.id = caller.id();
    n.pid = static_cast<std::uint32_t>(::getpid());
    n.data.nr = nr;
    std::copy(arguments.begin(), arguments.end(), n.data.args);
    Request request;
    const TaskMemory memory(::getpid());
    REQUIRE(decode(n, *filter::find(nr), memory, request) == 0);
    Call call{.request = request, .task = task, .started = 0, .path_req = request.name.path};
    broker.log.at_decision = std::move(at_decision);
    return answer_operation(broker.receiver(), call);
  }

  [[nodiscard]] int file() const { return file_.get(); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] const sockaddr_un& abstract() const { return abstract_; }
  [[nodiscard]] const sockaddr_un& bound() const { return unix_; }

  WaitingCaller caller;
  ScratchBroker broker;
  socklen_t abstract_size = 0, unix_size = 0;

 private:
  static std::size_t temporary_files() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
      if (target.find("agent-run-broker-") != target.npos && target.ends_with("(deleted)")) ++count;
    }
    return count;
  }

  Fd file_, socket_, listening_;
  sockaddr_un abstract_{.sun_family = AF_UNIX, .sun_path = {}}, unix_{.sun_family = AF_UNIX, .sun_path = {}};
};

/// The paths and structures that the arguments of a call point to.
struct Pointed {
  explicit Pointed(const World& world)
      : file(world.broker.path("file")),
        other(world.broker.path("other")),
        directory(world.broker.path("directory")),
        top(world.broker.path("")),
        fresh(world.broker.path("fresh")) {}
  std::string file, other, directory, top, fresh;
  std::string attribute = "user.test", value = "v";
  std::array<timespec, 2> times{timespec{1, 0}, timespec{2, 0}};
};

struct Act {
  std::string_view name;
  int nr;
  Arguments (*arguments)(const World&, const Pointed&);
  enum class Kind : std::uint8_t { all, attribute, owner } kind = Kind::all;
};

constexpr auto at_cwd = static_cast<std::uint64_t>(AT_FDCWD);

constexpr Act acts[] = {
    {"create", SYS_open,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.fresh.c_str()), O_CREAT | O_RDWR, 0600};
     }},
    {"truncating open", SYS_open,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), O_WRONLY | O_TRUNC};
     }},
    {"temporary file", SYS_open,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.top.c_str()), O_TMPFILE | O_RDWR, 0600};
     }},
    {"unlink", SYS_unlink, [](const World&, const Pointed& p) { return Arguments{word(p.file.c_str())}; }},
    {"rmdir", SYS_rmdir, [](const World&, const Pointed& p) { return Arguments{word(p.directory.c_str())}; }},
    {"rename", SYS_rename,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), word(p.fresh.c_str())};
     }},
    {"replacing rename", SYS_rename,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), word(p.other.c_str())};
     }},
    {"exchange", SYS_renameat2,
     [](const World&, const Pointed& p) {
       return Arguments{at_cwd, word(p.file.c_str()), at_cwd, word(p.other.c_str()), 2};
     }},
    {"link", SYS_link,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), word(p.fresh.c_str())};
     }},
    {"symlink", SYS_symlink,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.value.c_str()), word(p.fresh.c_str())};
     }},
    {"mkdir", SYS_mkdir,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.fresh.c_str()), 0700};
     }},
    {"mknod", SYS_mknod,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.fresh.c_str()), S_IFIFO | 0600};
     }},
    {"chmod", SYS_chmod,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), 0400};
     }},
    {"fchmod", SYS_fchmod,
     [](const World& w, const Pointed&) {
       return Arguments{static_cast<std::uint64_t>(w.file()), 0400};
     }},
    {"chown", SYS_chown,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), 12345, 12345};
     },
     Act::Kind::owner},
    {"truncate", SYS_truncate,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), 2};
     }},
    {"utimensat", SYS_utimensat,
     [](const World&, const Pointed& p) {
       return Arguments{at_cwd, word(p.file.c_str()), word(p.times.data())};
     }},
    {"setxattr", SYS_setxattr,
     [](const World&, const Pointed& p) {
       return Arguments{word(p.file.c_str()), word(p.attribute.c_str()), word(p.value.data()), 1};
     },
     Act::Kind::attribute},
    {"lease", SYS_fcntl,
     [](const World& w, const Pointed&) {
       return Arguments{static_cast<std::uint64_t>(w.file()), F_SETLEASE, F_RDLCK};
     }},
    {"bind", SYS_bind,
     [](const World& w, const Pointed&) {
       return Arguments{static_cast<std::uint64_t>(w.socket()), word(&w.bound()), w.unix_size};
     }},
    {"connect", SYS_connect,
     [](const World& w, const Pointed&) {
       return Arguments{static_cast<std::uint64_t>(w.socket()), word(&w.abstract()), w.abstract_size};
     }},
};

// The kernel must let this user do it at all.
bool possible(const World& world, Act::Kind kind) {
  if (kind == Act::Kind::owner) return ::geteuid() == 0;
  if (kind == Act::Kind::all) return true;
  const std::string other = world.broker.path("other");
  return ::setxattr(other.c_str(), "user.probe", "v", 1, 0) == 0;
}

bool succeeded(const Reply& reply) {
  return reply.kind() == Reply::Kind::inject || (reply.kind() == Reply::Kind::value && reply.number() == 0);
}

}  // namespace

TEST_CASE("each act comes after its record") {
  for (const Act& act : acts) {
    CAPTURE(act.name);
    World world;
    const Pointed pointed(world);
    if (!possible(world, act.kind)) continue;
    const std::string before = world.seen();
    int records = 0;
    const auto at_decision = [&] {
      ++records;
      CHECK(world.seen() == before);
    };
    const Reply reply = world.answer(act.nr, act.arguments(world, pointed), world.broker.self(), at_decision);
    CAPTURE(reply.number());
    CHECK(succeeded(reply));
    CHECK(records == 1);
    CHECK(world.seen() != before);
    CHECK(world.broker.log.errors.empty());
  }
}

TEST_CASE("no act happens when its record cannot be written") {
  for (const Act& act : acts) {
    CAPTURE(act.name);
    World world;
    const Pointed pointed(world);
    if (!possible(world, act.kind)) continue;
    const std::string before = world.seen();
    world.broker.log.broken = true;
    const Reply reply = world.answer(act.nr, act.arguments(world, pointed), world.broker.self());
    CHECK(reply.kind() == Reply::Kind::error);
    CHECK(reply.number() == EIO);
    CHECK(world.seen() == before);
  }
}

TEST_CASE("execve: the claim is noted and the kernel continues only after the record") {
  const auto claims = [](World& world) {
    auto& context = world.broker.receiver().context;
    return context.claims.take(world.broker.self(), context.host_proc).size();
  };
  for (const bool broken : {false, true}) {
    CAPTURE(broken);
    World world;
    const Pointed pointed(world);
    CHECK(::chmod(pointed.file.c_str(), 0755) == 0);
    world.broker.log.broken = broken;
    std::size_t at_record = 1;
    const Reply reply = world.answer(SYS_execve, {word(pointed.file.c_str()), 0, 0}, world.broker.self(),
                                     [&] { at_record = claims(world); });
    CHECK(at_record == 0);
    CHECK(reply.kind() == (broken ? Reply::Kind::error : Reply::Kind::proceed));
    CHECK(reply.number() == (broken ? EIO : 0));
    CHECK(claims(world) == (broken ? 0 : 1));
  }
}

TEST_CASE("a caller with an unreadable umask gets an answer, and nothing is created") {
  for (const Act& act : acts) {
    const bool makes = act.nr == SYS_mkdir || act.nr == SYS_mknod || act.nr == SYS_bind ||
                       (act.nr == SYS_open && act.name != "truncating open");
    if (!makes) continue;
    CAPTURE(act.name);
    World world;
    const Pointed pointed(world);
    const std::string before = world.seen();
    const Reply reply = world.answer(act.nr, act.arguments(world, pointed), world.broker.without_umask());
    CHECK(reply.kind() == Reply::Kind::error);
    CHECK(reply.number() == EIO);
    CHECK(world.seen() == before);
    // It is told so; and once it is gone there is nobody to be told.
    CHECK(world.caller.listener().send(world.caller.id(), Reply::error(static_cast<int>(reply.number()))) == EIO);
    CHECK(world.caller.answer() == EIO);
    const Reply late = world.answer(act.nr, act.arguments(world, pointed), world.broker.without_umask());
    const bool silent = late.kind() == Reply::Kind::gone;
    CHECK((silent || late.number() == ESRCH));
    CHECK(world.seen() == before);
  }
}

TEST_CASE("a directory that holds a guarded name is not closed to its owner or opened to others") {
  struct Change {
    std::string_view name;
    int nr;
    Arguments (*arguments)(int, const std::string&);
    int error;  // EACCES: denied
  };
  static const std::string list = "system.posix_acl_access", label = "security.test";
  static const std::string garbage = "not a list";
  static const uid_t stranger = ::geteuid() + 1;
  static const gid_t strangers = ::getegid() + 1;
  constexpr auto none = static_cast<std::uint64_t>(-1);
  static constexpr Change changes[] = {
      {"fchown to another", SYS_fchown,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), stranger, none};
       },
       EACCES},
      {"chown of the group", SYS_chown,
       [](int, const std::string& path) {
         return Arguments{word(path.c_str()), none, strangers};
       },
       EACCES},
      {"lchown of the group", SYS_lchown,
       [](int, const std::string& path) {
         return Arguments{word(path.c_str()), none, strangers};
       },
       EACCES},
      {"fchownat of the group", SYS_fchownat,
       [](int, const std::string& path) {
         return Arguments{at_cwd, word(path.c_str()), none, strangers};
       },
       EACCES},
      {"fsetxattr of a list", SYS_fsetxattr,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), word(list.c_str()), word(garbage.data()), garbage.size()};
       },
       EACCES},
      {"setxattr of a label", SYS_setxattr,
       [](int, const std::string& path) {
         return Arguments{word(path.c_str()), word(label.c_str()), word(garbage.data()), 1};
       },
       EACCES},
      {"fchmod without the right to search", SYS_fchmod,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), 0600};
       },
       EACCES},
      {"fchmod that lets others write", SYS_fchmod,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), 0702};
       },
       EACCES},
      {"fchmod as it is", SYS_fchmod,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), 0700};
       },
       0},
      {"fchmod that lets others read", SYS_fchmod,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), 0755};
       },
       0},
      {"fchown to nobody", SYS_fchown,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), none, none};
       },
       0},
      {"fchown to the owner", SYS_fchown,
       [](int fd, const std::string&) {
         return Arguments{std::uint64_t(fd), ::geteuid(), ::getegid()};
       },
       0},
  };
  for (const Change& change : changes) {
    for (const bool guarded : {true, false}) {
      CAPTURE(change.name);
      CAPTURE(guarded);
      World world;
      const std::string holder = world.broker.path("holder"), inner = holder + "/inner";
      REQUIRE(::mkdir(holder.c_str(), 0700) == 0);
      REQUIRE(::mkdir(inner.c_str(), 0700) == 0);
      world.broker.write(guarded ? "holder/inner/guarded" : "holder/inner/free", "");
      for (const std::string& directory : {holder, inner}) {
        const Fd fd(check(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", directory));
        const Reply reply = world.answer(change.nr, change.arguments(fd.get(), directory), world.broker.self());
        const int error = reply.kind() == Reply::Kind::error ? static_cast<int>(reply.number()) : 0;
        if (guarded || change.error == 0)
          CHECK(error == change.error);
        else
          CHECK(error != EACCES);  // what the kernel says
        struct stat st {};
        REQUIRE(::stat(directory.c_str(), &st) == 0);
        if (guarded && change.error != 0) CHECK((st.st_mode & 07777) == 0700);
        if (guarded && change.error != 0) CHECK(st.st_uid == ::geteuid());
        REQUIRE(::chmod(directory.c_str(), 0700) == 0);
      }
    }
  }
}
