"""T1: input that the user's terminal would give to the next program."""

import os
import pty
import select
import time

import harness

READER = 'IFS= read -r -t 1 line && echo "INJECTED $line"; exit 0'


class Terminal(harness.Case):
    def on_terminal(self, words, seconds=30):
        """Runs words, then a shell that reads what waits in the terminal; all that was printed."""
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(self.ws)
            os.execve("/bin/bash", ["bash", "-c", '"$@"; ' + READER, "bash", *map(str, words)], self.scratch.environment)
        out, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([master], [], [], 0.2)
            if not ready:
                continue
            try:
                chunk = os.read(master, 4096)
            except OSError:
                break
            if not chunk:
                break
            out += chunk
        os.close(master)
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
        return out.decode(errors="replace")

    def attack(self, act):
        probe = self.scratch.tool("probe-tty")
        self.scratch.write_profile()
        words = [probe, f"tty/{act}", "text=injected-input"]
        outside = self.on_terminal(words)
        inside = self.on_terminal([harness.AGENT_RUN, "-p", self.scratch.profile_file, "--", *words])
        return outside, inside

    def test_t1_tiocsti(self):
        for act in ("tiocsti", "tiocsti-high"):
            with self.subTest(act):
                outside, inside = self.attack(act)
                if f"ACT {act} EIO" in outside:
                    self.skipTest("this kernel has no TIOCSTI (dev.tty.legacy_tiocsti=0)")
                self.assertIn("INJECTED injected-input", outside, "the control proves nothing")
                self.assertNotIn("INJECTED", inside)
                self.assertRegex(inside, rf"ACT {act} (EPERM|EACCES)")

    def test_t1_tioclinux(self):
        outside, inside = self.attack("tioclinux")
        self.assertIn("ACT tioclinux ok", outside, "the control proves nothing")
        self.assertRegex(inside, r"ACT tioclinux (EPERM|EACCES)")
