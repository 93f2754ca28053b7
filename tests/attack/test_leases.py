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
        """Whoever waits for a lease waits alone; otherwise it is as outside."""
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
