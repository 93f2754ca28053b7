"""L9: a lease makes every opener of a file wait for as long as its holder likes (fcntl(2), F_SETLEASE)."""

import harness

# Holds a lease that nobody's opening ends, lets others wait for it, and asks whether anything else still goes.
LEASE = """
import errno, fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
signal.alarm(30)
fd = os.open("leased", os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, b"0123456789")
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
def flags(how):
    return fcntl.fcntl(os.open("leased", how), fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK)
acts = {
    "write": lambda: flags(os.O_WRONLY),
    "append": lambda: flags(os.O_WRONLY | os.O_APPEND) == os.O_APPEND,
    "create": lambda: flags(os.O_RDWR | os.O_CREAT),
    "read": lambda: flags(os.O_RDONLY),
    "truncate": lambda: os.truncate("leased", 5),
    "killed": lambda: os.truncate("leased", 4),
}
children = {}
for name, act in acts.items():
    children[name] = pid = os.fork()
    if pid == 0:
        print(name, act(), flush=True)
        os._exit(0)
time.sleep(0.4)
began = time.monotonic()
os.mkdir("made")
os.rmdir("made")
print("free" if time.monotonic() - began < 3 else "held", flush=True)
print("waiting", [name for name, pid in children.items() if os.waitpid(pid, os.WNOHANG)[0] == 0], flush=True)
for how in (os.O_WRONLY, os.O_RDONLY):
    try:
        os.open("leased", how | os.O_NONBLOCK)
        print("opened", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
victim = children.pop("killed")
os.kill(victim, signal.SIGKILL)
os.waitpid(victim, 0)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
for pid in children.values():
    os.waitpid(pid, 0)
print(os.stat("leased").st_size, flush=True)
os.unlink("leased")
"""


class Leases(harness.Case):
    def test_l9_leases(self):
        """A process that waits for a lease waits alone. Everything else is as outside."""
        words = ("/usr/bin/python3", "-I", "-c", LEASE)
        outside = self.control(*words).text.splitlines()
        self.assertIn("free", outside)
        self.assertTrue([line for line in outside if line.startswith("waiting") and line.count(",") == 5], f"proves nothing: {outside}")
        for reads in ("exact", "claimed"):
            with self.subTest(reads):
                self.scratch.write_profile(audit={"reads": reads})
                run = self.inside(*words)
                self.assertEqual(sorted(run.text.splitlines()), sorted(outside), str(run))
                self.assert_complete(run)

# Tries to hold off whoever writes a file that it may only read, by every way to that file; then by changing what the number
# means while the broker looks: no lease may ever be found on the file.
HOLD_OFF = """
import ctypes, errno, fcntl, os, sys
granted = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
def held(fd, lease):
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, lease)
        took = True
    except OSError as error:
        took = errno.errorcode[error.errno]
    found = fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_UNLCK
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK) if found else None
    return "ok" if found else took
reading = os.open(granted, os.O_RDONLY)
def wide(fd):
    # The kernel takes both as ints, so the upper halves are the caller's to choose.
    took = libc.syscall(72, fd, ctypes.c_long(1 << 32 | fcntl.F_SETLEASE), ctypes.c_long(fcntl.F_RDLCK)) == 0
    return held(fd, fcntl.F_RDLCK) if took else errno.errorcode[ctypes.get_errno()]
ways = {
    "read": lambda: held(reading, fcntl.F_RDLCK),
    "wide": lambda: wide(reading),
    "again": lambda: held(os.open("/proc/self/fd/%d" % os.open(granted, os.O_PATH), os.O_RDONLY), fcntl.F_RDLCK),
    "handed": lambda: held(0, fcntl.F_RDLCK),
}
for name, way in ways.items():
    print("ACT", name, way(), flush=True)
"""

EXCHANGE = """
import fcntl, os, sys, threading
granted, own = os.open(sys.argv[1], os.O_RDONLY), os.open("own", os.O_RDONLY | os.O_CREAT, 0o600)
number = os.dup(own)
over = threading.Event()
def exchange():
    while not over.is_set():
        os.dup2(granted, number)
        os.dup2(own, number)
other = threading.Thread(target=exchange, daemon=True)
other.start()
took = wrong = 0
for _ in range(int(sys.argv[2])):
    try:
        fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        pass
    wrong += fcntl.fcntl(granted, fcntl.F_GETLEASE) != fcntl.F_UNLCK
    took += fcntl.fcntl(own, fcntl.F_GETLEASE) != fcntl.F_UNLCK
    for fd in (granted, own):
        if fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_UNLCK:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
over.set()
other.join()
print("own" if took else "none", "granted" if wrong else "clean")
"""

# Who is told that somebody opens the leased file: the holder, by the signal that it chose, or whom it named.
TOLD = """
import errno, fcntl, os, signal
told = signal.SIGRTMIN + 3
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO, told})
def opened():
    try:
        os.close(os.open("leased", os.O_WRONLY | os.O_NONBLOCK))
        return "opened"
    except OSError as error:
        return errno.errorcode[error.errno]
def waits(what):
    got = signal.sigtimedwait({what}, 40)
    return got is not None and got.si_signo == what
def take(fd):
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
fd = os.open("leased", os.O_RDONLY | os.O_CREAT, 0o600)
take(fd)
print("lease", fcntl.fcntl(fd, fcntl.F_GETLEASE), fcntl.fcntl(fd, fcntl.F_GETOWN) == os.getpid())
print("plain", opened(), waits(signal.SIGIO))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
print("returned", opened(), fcntl.fcntl(fd, fcntl.F_GETOWN))
take(fd)
fcntl.fcntl(fd, fcntl.F_SETSIG, told)
print("chosen", opened(), waits(told))
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
child = os.fork()
if child == 0:
    os._exit(0 if waits(signal.SIGIO) else 1)
fcntl.fcntl(fd, fcntl.F_SETOWN, child)
take(fd)
print("named", opened(), os.waitpid(child, 0)[1])
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
writer = os.open("leased", os.O_WRONLY)
for what, argument in ((fcntl.F_RDLCK, fd), (99, fd), (fcntl.F_RDLCK, os.open("leased", os.O_PATH)), (fcntl.F_RDLCK, 999), (fcntl.F_UNLCK, fd)):
    try:
        print("refused", fcntl.fcntl(argument, fcntl.F_SETLEASE, what))
    except OSError as error:
        print("refused", errno.errorcode[error.errno])
print("owner", fcntl.fcntl(fd, fcntl.F_GETOWN))
memory = os.memfd_create("x")
fcntl.fcntl(memory, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("memory", fcntl.fcntl(memory, fcntl.F_GETLEASE))
os.unlink("leased")
"""


class LeasesOfGrants(harness.Case):
    def granted(self):
        file = self.outside / "granted"
        file.write_text("x")
        self.scratch.write_profile(files={"read": [str(file)]})
        return file

    def test_l9_no_lease_on_a_read_only_file(self):
        """No lease on a read-only file, however the descriptor was obtained."""
        file = self.granted()
        words = ("/usr/bin/python3", "-I", "-c", HOLD_OFF, file)
        control = self.with_input(file, *words)
        self.assertEqual(len(harness.acts(control)), 4, str(control))
        run = self.with_input(file, harness.AGENT_RUN, "--json", "-p", self.scratch.profile_file, "--", *words)
        self.assert_refused(control, run, {"EACCES"})
        inside = harness.Run(run, self.scratch)
        denied = inside.decisions(sys="fcntl", act="deny")
        self.assertGreaterEqual(len(denied), 4, str(inside))
        self.assert_complete(inside)

    def with_input(self, file, *words):
        return harness.run(("/bin/sh", "-c", 'exec "$@" <"$0"', file, *words), env=self.scratch.environment, cwd=self.ws)

    def test_l9_numbers_exchanged_meanwhile(self):
        """The file that the broker examined is the file that gets the lease."""
        file = self.granted()
        words = ("/usr/bin/python3", "-I", "-c", EXCHANGE, file)
        self.assertEqual(self.control(*words, "20000").text.split(), ["own", "granted"])
        run = self.inside(*words, "3000")
        self.assertEqual(run.text.split(), ["own", "clean"], str(run))
        self.assert_complete(run)

    def test_l9_signals_of_a_lease(self):
        """A lease's signals reach the same processes as outside."""
        words = ("/usr/bin/python3", "-I", "-c", TOLD)
        outside = self.control(*words)
        self.assertEqual(outside.status, 0, str(outside))
        self.assertIn("plain EAGAIN True", outside.text)
        self.scratch.write_profile()
        run = self.inside(*words)
        self.assertEqual(run.text.splitlines(), outside.text.splitlines(), str(run))
        self.assert_complete(run)
