"""Programs that control other programs behave as outside: gdb, strace, valgrind, tmux."""

from programs import Programs

CODE = r"""#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int twice(int x) {
  int result = 2 * x;
  return result;
}
int main(int argc, char** argv) {
  char* text = malloc(10);
  int fd = open("out", O_CREAT | O_WRONLY | O_TRUNC, 0600);
  if (fd < 0 || write(fd, "written\n", 8) != 8 || close(fd) != 0) return 1;
  if (argc > 1 && strcmp(argv[1], "bad") == 0) text[10] = 'x';
  if (argc > 1 && strcmp(argv[1], "crash") == 0) abort();
  printf("%d\n", twice(21));
  if (argc < 2) free(text);
  return 0;
}
"""


class Debuggers(Programs):
    def prepare(self, top):
        (top / "t.c").write_text(CODE)
        (top / "p").write_text("import subprocess\nopen('made', 'w').write('x')\nsubprocess.run(['true'])\n")

    def test_gdb(self):
        """Breakpoint, stack, values, a watchpoint, a crash; of a child and of a running process."""
        self.need("gdb", "gcc")
        text = self.same(r"""gcc -g -O0 -o t t.c; export DEBUGINFOD_URLS=
            gdb -nx -q -batch -ex 'break twice' -ex run -ex bt -ex 'print x' -ex 'watch result' -ex continue -ex 'set var result = 5' -ex 'delete' \
              -ex continue ./t 2>&1 | grep -v -e libthread_db -e warning
            gdb -nx -q -batch -ex run -ex 'bt -2' --args ./t crash 2>&1 | grep -o -e SIGABRT -e 'main (.*'; cat out
            (sleep 100 & echo $! > pid; exec 2> /dev/null; wait) & until test -s pid; do sleep 0.05; done
            gdb -nx -q -batch -p $(cat pid) -ex 'info proc exe' 2> /dev/null | grep -c 'exe = .*sleep'; kill $(cat pid); wait""",
                         self.prepare)
        self.assertIn("Breakpoint 1, twice (x=21)", text)
        self.assertIn("$1 = 21", text)

    def test_strace(self):
        self.need("strace", "gcc")
        text = self.same(r"""gcc -o t t.c; strace -o log -e trace=openat,write,close ./t; sed -n '/"out"/,$p' log
            strace -f -o log -e trace=execve,unlink,rename,mkdir sh -c 'mkdir d; mv d e; rmdir e; rm -f t.c; exec ./t'
            sed 's/^[0-9]* *//; s/, 0x[^)]*)/)/; s/[0-9]* vars/vars/' log | grep -e execve -e unlink -e rename -e mkdir | grep -v '^+++'
            strace -c -o log ./t; grep -c calls log; strace -e inject=openat:error=EMFILE -o log cat t 2>&1 || echo injected
            strace -e trace=none -e signal=all -o log sh -c 'kill -USR1 $$' || cat log""", self.prepare)
        self.assertIn('openat(AT_FDCWD, "out"', text)

    def test_strace_with_a_filter_of_its_own(self):
        """docs/fidelity.md: with --seccomp-bpf, strace's filter asks for traces of calls that go to the broker
        instead."""
        self.need("strace")
        script = "import os; os.mkdir('made')"
        for option, count in (("--seccomp-bpf", "0"), ("-q", "1")):
            command = f'cd "$(mktemp -d)"; strace -f {option} -o log -e trace=mkdir /usr/bin/python3 -I -c "{script}" 2> errors; grep -c mkdir log'
            self.assertEqual(self.control("sh", "-c", command).text, "1\n", option)
            self.scratch.write_profile()
            run = self.inside("sh", "-c", command)
            self.assertEqual(run.text, f"{count}\n", str(run))

    def test_valgrind(self):
        self.need("valgrind", "gcc")
        text = self.same(r"""gcc -g -o t t.c; valgrind -q --error-exitcode=9 ./t; valgrind -q --leak-check=full --error-exitcode=9 ./t bad 2> log || echo $?
            grep -o -e 'Invalid write of size 1' -e 't.c:[0-9]*' -e 'definitely lost' log; cat out""", self.prepare)
        self.assertIn("Invalid write", text)


class Terminals(Programs):
    def test_tmux(self):
        """A server, its socket, terminals that it makes, a split window, keys and what is on the screen."""
        self.need("tmux")
        text = self.same(r"""
            t() { tmux -S $PWD/socket -f /dev/null "$@"; }; trap 't kill-server 2> /dev/null || true' EXIT
            shows() { for i in $(seq 400); do t capture-pane -pt "$1" | grep -q "$2" && return; sleep 0.05; done; t capture-pane -pt "$1"; exit 9; }
            t new-session -d -s s -x 80 -y 24 'PS1=: exec sh'; t send-keys -t s.0 'echo $((6*7)) $(stty size)' Enter; shows s.0 '42 24 80$'
            t split-window -h -t s 'PS1=: exec sh'; t send-keys -t s.1 'echo begun; sleep 60' Enter; shows s.1 'begun$'; sleep 0.3
            t send-keys -t s.1 C-c; t send-keys -t s.1 'echo status $?' Enter; shows s.1 'status 130$'
            t list-panes -t s -F '#{pane_width}x#{pane_height}'; t capture-pane -pt s.1 | grep -o -e 'begun$' -e 'status 130$'
            t send-keys -t s.0 'echo x > made-in-tmux; exit' Enter; until test -e made-in-tmux; do sleep 0.05; done; t kill-server; ls""")
        self.assertIn("130", text)
