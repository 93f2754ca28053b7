// An image for exec tests that reaches its first trapped call on a way of its own: nothing is opened by a loader, and
// the act comes from a process or a thread that has never called execve. `static FOLDER` makes FOLDER/<image's name>:
// from a forked child when the name contains "fork", from one that outlives it when it contains "orphan", from a second
// thread when it contains "thread", else at once.
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>

namespace {

/// Makes the mark; the argument is its path.
void* mark(void* path) {
  const int made = open(static_cast<const char*>(path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  return made < 0 ? path : nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  std::array<char, PATH_MAX> exe{}, path{};
  if (argc < 2 || readlink("/proc/self/exe", exe.data(), exe.size() - 1) < 0) return 2;
  const char* name = strrchr(exe.data(), '/');
  if (strlen(argv[argc - 1]) + strlen(name) >= path.size()) return 2;
  strcat(strcpy(path.data(), argv[argc - 1]), name);
  void* failed = path.data();
  if (strstr(name, "fork") != nullptr) {
    const pid_t child = fork();
    if (child == 0) _exit(mark(path.data()) == nullptr ? 42 : 3);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
  }
  if (strstr(name, "orphan") != nullptr) {
    if (fork() != 0) return 42;
    usleep(100'000);
    return mark(path.data()) == nullptr ? 0 : 3;
  }
  if (strstr(name, "thread") != nullptr) {
    pthread_t second{};
    if (pthread_create(&second, nullptr, mark, path.data()) != 0) return 5;
    pthread_join(second, &failed);
  } else {
    failed = mark(path.data());
  }
  return failed == nullptr ? 42 : 3;
}
